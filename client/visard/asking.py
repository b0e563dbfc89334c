"""From photos to what the parties have answered about them: capture, shares, sealing, sending, opening."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from visard_wire import tracing
from visard_wire.v1 import gateway_pb2

from visard import opening, received
from visard.calls import Caller, Operation, Outcome, Request, within
from visard.capture import Chip, Source, as_pictures, capture_all
from visard.envelopes import SealedRequest
from visard.errors import InvalidRequest
from visard.registry import Models
from visard.results import ModelInfo, Report
from visard.uploads import forced, gate_for, good_enough, pixels, shared, whole

Photo = Source | Chip
Asked = tuple[int, str, str]  # operation, subject, operating point
Method = Callable[..., Awaitable[gateway_pb2.Result]]
Images = Callable[[ModelInfo], list[npt.NDArray[np.int64]]]


def some(photos: Sequence[Photo]) -> Sequence[Photo]:
    """The photos, if they are a list of at least one; raises InvalidRequest."""
    if not isinstance(photos, Sequence) or isinstance(photos, str | bytes) or not photos:
        raise InvalidRequest("photos: a list of at least one")
    return photos


class Asking:
    """Requests that carry images. Errors are those of visard.errors; the client's deadline bounds each."""

    def __init__(self, caller: Caller, models: Models) -> None:
        self._caller = caller
        self._models = models

    async def sealed(self, asked: Asked, photos: Sequence[Photo], *, largest: bool, force: bool) -> SealedRequest:
        """A request about photos as it would be sent."""
        prepare = await _judged(asked, photos, largest=largest, force=force)
        info = await self._models.info()
        images = await asyncio.to_thread(prepare, info)
        return await self._caller.sealed(self._caller.request(*asked, len(images)), shared(images, info.field_bits))

    async def photos(
        self,
        method: Method,
        asked: Asked,
        photos: Sequence[Photo],
        *,
        largest: bool,
        force: bool = False,
        options: Mapping[str, Any] = MappingProxyType({}),
        writes: bool = False,
    ) -> tuple[list[Outcome], Report]:
        """Capture, share, seal, send, open; a write keeps its id when it is sent again. ``options``: further fields."""
        prepare = await _judged(asked, photos, largest=largest, force=force)
        return await self.pictures(method, asked, prepare, options, writes=writes)

    async def whole(
        self, method: Method, asked: Asked, images: Sequence[Source], *, largest: bool
    ) -> tuple[list[Outcome], Report]:
        """The same for one input of a model that is run, which may take several pictures."""
        pictures = await asyncio.to_thread(as_pictures, images)
        return await self.pictures(method, asked, lambda info: [whole(pictures, info, largest=largest)])

    async def pictures(
        self,
        method: Method,
        asked: Asked,
        prepare: Images,
        options: Mapping[str, Any] = MappingProxyType({}),
        *,
        writes: bool = False,
    ) -> tuple[list[Outcome], Report]:
        """The same for pictures that ``prepare`` makes ready, once it is known what the model takes."""
        started = time.monotonic()
        name = Operation.Name(asked[0]).removeprefix("OPERATION_").lower()  # type: ignore[arg-type]
        async with within(self._caller.deadline):  # models and keys are fetched first: they share the deadline
            with tracing.span(f"visard {name}"):
                outcomes, result = await self._exchange(method, asked, prepare, options, writes=writes)
        return outcomes, received.report(time.monotonic() - started, result)

    async def _exchange(
        self,
        method: Method,
        asked: Asked,
        prepare: Images,
        options: Mapping[str, Any],
        *,
        writes: bool,
    ) -> tuple[list[Outcome], gateway_pb2.Result]:
        # a subject that is moved is shown to both models, of which each has chips and a field of its own
        names = [options.get("model", ""), *(options[name] for name in ("new_model",) if name in options)]
        infos = [await self._models.info(name) for name in names]
        images = [await asyncio.to_thread(prepare, info) for info in infos]

        def shares() -> list[bytes]:
            parts = [shared(some, info.field_bits) for some, info in zip(images, infos, strict=True)]
            return [b"".join(of_one) for of_one in zip(*parts, strict=True)]

        def request() -> Request:
            return self._caller.request(*asked, len(images[0]), **options)

        if writes:
            result, sent = await self._caller.write(
                request(), shares, lambda sealed, left: method(sealed.upload(), timeout=left)
            )
        else:
            result, sent = await self._caller.read(
                request, shares, lambda sealed, left: method(sealed.upload(), timeout=left)
            )
        return opening.open_all(result.results, sent.context, sent.reply_keys), result


async def _judged(asked: Asked, photos: Sequence[Photo], *, largest: bool, force: bool) -> Images:
    """The faces in photos, and what makes them a model's input if they are good enough; raises CaptureError."""
    operation, _, point = asked
    chips = await asyncio.to_thread(capture_all, some(photos), largest=largest)

    def images(info: ModelInfo) -> list[npt.NDArray[np.int64]]:
        if not forced(force):
            good_enough(photos, chips, gate_for(operation, point, info))
        return [pixels(chip, info) for chip in chips]

    return images
