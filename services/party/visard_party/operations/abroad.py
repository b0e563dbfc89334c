"""Other deployments: which ones galleries may go to and come from, this operator's own consent whatever administrators sign; and
this party's shares of its networks' fingerprints, by which two deployments find out that theirs are the same.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence

import numpy as np
import structlog
from visard_common.errors import FailedPrecondition, PermissionDenied, Unavailable
from visard_common.limits import RETRY_SECONDS
from visard_engine.field import Elements, Field
from visard_engine.prf import KEY_BYTES, Prf
from visard_wire import crossing
from visard_wire.secret import Secret
from visard_wire.statements import Holder
from visard_wire.v1 import crossing_pb2
from visard_wire.vouching import Trust

from visard_party.config import Partner, PartyConfig
from visard_party.models import Published
from visard_party.operations.crossing import fingerprint, network_digest, split
from visard_party.store.base import Store
from visard_party.store.contents import ModelRecord, Reference

_REMEMBERED = 64  # networks

log = structlog.get_logger()


class Abroad:
    """Who vouches for the parties of other deployments, as the configuration and the files that it names say now."""

    def __init__(self, config: PartyConfig, store: Store) -> None:
        self._party = config.index
        self._tls = config.tls
        self._out, self._in = config.export_to, config.import_from
        self._store = store
        self._fingerprints: dict[bytes, Elements] = {}

    def destination(self, name: str) -> Trust:
        """The roots of the parties that galleries may go to under this name.

        Raises PermissionDenied where the operator has not named it, FailedPrecondition for roots that are no files of such.
        """
        return self._trust(self._out, name, "export_to", "lets nothing go to")

    def source(self, name: str) -> Trust:
        """The roots of the parties that galleries may come from; raises as ``destination``."""
        return self._trust(self._in, name, "import_from", "takes nothing from")

    async def fingerprint(self, model: Published) -> Elements:
        """This party's share of a network's fingerprint (visard_party.operations.crossing), made once for each version.

        Raises StoreError, and Unavailable where the model changes meanwhile.
        """
        if (known := self._fingerprints.get(model.digest)) is not None:
            return known
        record = await self._store.model(model.name)
        if record is None or (record.version, record.created_unix_ms) != (model.version, model.created_unix_ms):
            raise Unavailable(f"model {model.name!r} is being changed", retry_after=RETRY_SECONDS)
        found = await asyncio.to_thread(_made, model, record)
        while len(self._fingerprints) >= _REMEMBERED:
            del self._fingerprints[next(iter(self._fingerprints))]
        self._fingerprints[model.digest] = found
        return found

    def part(
        self, field: Field, page: bytes, keys: Sequence[bytes], fingerprint: Elements, rows: Sequence[Reference]
    ) -> crossing_pb2.CrossingPart:
        """This party's part of a page that leaves: its shares split, a piece sealed to each of three keys, and all of it signed.

        Raises OSError and ValueError for a certificate that cannot be used.
        """
        shares = np.frombuffer(b"".join(row.descriptor.reveal() for row in rows), field.dtype)
        pieces = split(field, np.concatenate([fingerprint, shares]), Prf(os.urandom(KEY_BYTES)))
        sealed = [
            crossing.seal(key, page, self._party, recipient, Secret(piece.tobytes()))
            for recipient, (key, piece) in enumerate(zip(keys, pieces, strict=True))
        ]
        return crossing.signed(Holder.read(self._tls.cert, self._tls.key), page, self._party, sealed)

    def _trust(self, pinned: Mapping[str, Partner], name: str, field: str, refuses: str) -> Trust:
        if name not in pinned:
            text = f"party {self._party}'s operator {refuses} deployment {name!r}: {field} in its configuration"
            raise PermissionDenied(text, field="request.deployment", allowed=f"one in {field}")
        try:
            return pinned[name].trust()
        except (OSError, ValueError) as error:
            log.error("the authorities of another deployment cannot be used", setting=field, reason=str(error))
            text = f"party {self._party} cannot read who vouches for deployment {name!r}: see its log"
            raise FailedPrecondition(text) from error


def _made(model: Published, record: ModelRecord) -> Elements:
    weights = np.frombuffer(record.weights.reveal(), model.model.field.dtype)
    return fingerprint(model.model.field, network_digest(model.program), weights)
