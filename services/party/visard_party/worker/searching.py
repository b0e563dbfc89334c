"""A search among what a worker holds, together with the workers of the same part at the two other parties."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from visard_common.errors import InvalidArgument, Unavailable
from visard_common.limits import RETRY_SECONDS, SESSION_BYTES
from visard_engine.bits import ReplicatedBits
from visard_engine.field import Elements
from visard_engine.kits import KitPlan
from visard_engine.protocols.mean import Mean
from visard_wire.v1 import worker_pb2

from visard_party.config import ComputingConfig
from visard_party.kits.stock import KitStock
from visard_party.peers.links import PeerLinks
from visard_party.runs import session
from visard_party.runs.agreement import Terms
from visard_party.runs.handshake import Agreeing
from visard_party.tables import Question, search
from visard_party.worker.holding import View

AHEAD = 2  # searches that kits are kept ready for: those of blocks are the same for all galleries


class Searching:
    """Takes part in the searches of its like."""

    def __init__(self, config: ComputingConfig, links: PeerLinks, stock: KitStock, number: int) -> None:
        self._config = config
        self._links = links
        self._stock = stock
        self._number = number
        self._agreeing = Agreeing(config, stock)

    async def search(self, view: View, request: worker_pb2.SearchRequest, seconds: float) -> worker_pb2.SearchResponse:
        """This worker's shares of the answer. Raises ServiceFault, EngineError, Refused."""
        asked, probes = question_of(request), probes_of(view, request)
        plans = asked.plans(view.field.q, view.rows, len(probes[0])) * len(probes)
        for plan, count in Counter(plans).items():
            self._stock.want(plan, AHEAD * count)
        name = session_of(request.session, self._number)
        async with session.opened(self._config, self._links, name, seconds) as channel:
            terms = self._terms(view, request, plans)
            kits = await self._agreeing.kits(
                channel, terms, plans, await self._agreeing.proposal(channel, self._config.peer_timeout)
            )
            channel.begin_engine()
            run = channel.begin_run(request.terms, view.rows.digest)
            found = await search(run, kits, probes, view.rows, asked)
        return response(found, channel.rounds, channel.sent_bytes, sum(plan.correction_bytes for plan in plans))

    def _terms(self, view: View, request: worker_pb2.SearchRequest, plans: Sequence[KitPlan]) -> Terms:
        names = tuple(plan.digest.hex() for plan in plans)
        return Terms(request.terms.hex(), "", view.rows.digest.hex(), "", names)


def session_of(party_session: bytes, number: int) -> bytes:
    """The name of the workers' own session within a run of their parties."""
    return hashlib.sha256(b"visard worker session" + party_session + bytes([number])).digest()[:SESSION_BYTES]


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
