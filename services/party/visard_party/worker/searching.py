"""A search among what a worker holds, together with the workers of the same part at the two other parties."""

import numpy as np
from visard_common.errors import InvalidArgument, Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.bits import ReplicatedBits
from visard_engine.field import Elements
from visard_engine.protocols.mean import Mean
from visard_wire.v1 import worker_pb2

from visard_party.tables import Question, search
from visard_party.worker.among import Among
from visard_party.worker.holding import View


async def searched(
    among: Among, view: View, request: worker_pb2.SearchRequest, seconds: float
) -> worker_pb2.SearchResponse:
    """This worker's shares of the answer. Raises ServiceFault."""
    asked, probes = question_of(request), probes_of(view, request)
    plans = asked.plans(view.field.q, view.rows, len(probes[0])) * len(probes)
    among.stock.want_ahead(plans)
    seen = request.terms, view.rows.digest
    async with among.run("search", request.session, seen, plans, seconds) as (channel, kits):
        found = await search(channel.begin_run(*seen), kits, probes, view.rows, asked)
    return response(found, channel.rounds, channel.sent_bytes, sum(plan.correction_bytes for plan in plans))


def question_of(request: worker_pb2.SearchRequest) -> Question:
    """What is asked of the rows."""
    mean = Mean(tuple(request.mean), request.mean_limit) if request.mean else None
    return Question(tuple(request.limits), mean, request.room, request.cell_seed)


def probes_of(view: View, request: worker_pb2.SearchRequest) -> list[Elements]:
    """The photos' descriptors (D,); raises InvalidArgument, and Unavailable for a view that is empty."""
    if not view.rows:
        raise Unavailable("nothing is held here of what is searched", retry_after=RETRY_SECONDS)
    size = view.rows.shares.shape[1]
    words = np.frombuffer(request.probes, view.field.dtype)
    if not request.photos or words.size != request.photos * size:
        raise InvalidArgument.of("probes", f"{size} elements a photo")
    if (words >= view.field.p).any():
        raise InvalidArgument.of("probes", "elements of the field")
    return list(words.reshape(request.photos, size))


def response(found: ReplicatedBits, rounds: int, sent: int, kits: int) -> worker_pb2.SearchResponse:
    """The answer, as it goes to the party."""
    own, previous = found.shared
    return worker_pb2.SearchResponse(
        piece_own=own.tobytes(),
        piece_previous=previous.tobytes(),
        bits=found.count,
        rounds=rounds,
        sent_bytes=sent,
        kit_bytes=kits,
    )
