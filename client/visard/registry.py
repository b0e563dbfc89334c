"""What owners of networks ask, and what everybody may know of them. ``models`` of a client."""

import asyncio
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from visard_wire.v1 import common_pb2, gateway_pb2

from visard import opening, received
from visard.calls import Caller, filled
from visard.errors import InvalidRequest, NotFound
from visard.points import Points, check
from visard.results import DEFAULT_POINT, ModelInfo
from visard.sharing import FIELDS
from visard.uploads import shared

Operation = common_pb2.Operation
Infos = list[ModelInfo]


class Models:
    """The service ModelRegistry. To publish, to change and to withdraw the client's certificate must be an owner's."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._infos: dict[str, ModelInfo] = {}
        self._fetching = asyncio.Lock()  # calls that begin together ask once

    async def list(self, *, layers: bool = False) -> Infos:
        """The models that all three parties have, and what a run of each costs; with ``layers`` also what each layer does."""
        ask = filled(gateway_pb2.ListModelsRequest(), layers=layers)
        response = await self._caller.again(lambda left: self._caller.registry.ListModels(ask, timeout=left))
        return [received.model_info(info) for info in response.models]

    async def info(self, name: str = "") -> ModelInfo:
        """What is known about the client's model, or another, but for its layers' costs, asked for once; raises NotFound."""
        if not isinstance(name, str):
            raise InvalidRequest("name: that of a model, or empty for the client's")
        name = name or self._caller.model
        async with self._fetching:
            if name not in self._infos:
                self._infos = {info.name: info for info in await self.list()}
        if name not in self._infos:
            raise NotFound(f"model {name!r} is not published: see visard model publish")
        return self._infos[name]

    async def publish(self, name: str, program: bytes, digest: bytes, weights: npt.NDArray[np.int64], q: int) -> None:
        """Publish a compiled network under a name; its weights leave this machine as three sealed shares only.

        ``program`` is its canonical JSON and ``digest`` the SHA-256 of that, ``q`` the Mersenne exponent of its field.
        """
        if not isinstance(q, int) or q not in FIELDS:
            raise InvalidRequest("q: 31 or 61")
        if not isinstance(weights, np.ndarray) or weights.dtype != np.int64:  # of a network without any it is empty
            raise InvalidRequest("weights: an array of 64-bit integers")
        if not isinstance(program, bytes):
            raise InvalidRequest("program: canonical JSON, as bytes")
        request = self._caller.request(Operation.OPERATION_PUBLISH, model=name, program_digest=digest)
        response, sent = await self._caller.write(
            request,
            lambda: shared([weights], q),
            lambda sealed, left: self._caller.registry.Publish(sealed.upload(program), timeout=left),
        )
        opening.check_published(opening.open_all(response.results, sent.context, sent.reply_keys), digest)

    async def set_points(
        self,
        name: str,
        points: Mapping[str, float],
        rates: Mapping[str, float] | None = None,
        *,
        allow_loose: bool = False,
    ) -> None:
        """Replace all operating points of a published model, at all three parties or at none; one is named default.

        ``points`` are distances by name, ``rates`` the false match rates of those that were measured. What is enrolled stays; a
        request decides at the old points or at the new ones. Points that are looser than 0.1 %, or not measured, need
        ``allow_loose``. Raises InvalidRequest, NotFound, and FailedPrecondition where somebody else has changed them meanwhile.
        """
        if not isinstance(points, Mapping):
            raise InvalidRequest("points: distances by name")
        if not isinstance(rates, Mapping | None) or not set(rates or ()) <= set(points):
            raise InvalidRequest("rates: false match rates by name, each of one of the points")
        if DEFAULT_POINT not in points:
            raise InvalidRequest(f"points: one of them named {DEFAULT_POINT} (points={{'default': DISTANCE}})")
        rates = rates or {}
        told = [
            filled(common_pb2.OperatingPoint(), name=point, distance=distance, false_match_rate=rates.get(point, 0.0))
            for point, distance in points.items()
        ]
        if not isinstance(allow_loose, bool):
            raise InvalidRequest("allow_loose: True or False")
        if not allow_loose:
            check(Points(points, rates))
        info = next((info for info in await self.list() if info.name == name), None)
        if info is None:
            raise NotFound(f"model {name!r} is not published: see visard model publish")
        request = self._caller.request(
            Operation.OPERATION_CALIBRATE, model=name, program_digest=info.program_digest, points=told
        )
        await self._caller.change(self._caller.registry.Calibrate, gateway_pb2.CalibrateRequest, request)
        self._infos.pop(name, None)

    async def withdraw(self, name: str) -> None:
        """Remove a model that nobody is enrolled with; raises NotFound, and FailedPrecondition where somebody is."""
        request = self._caller.request(Operation.OPERATION_WITHDRAW, model=name)
        await self._caller.change(self._caller.registry.Withdraw, gateway_pb2.WithdrawRequest, request)
        self._infos.pop(name, None)
