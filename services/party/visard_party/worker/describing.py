"""Networks evaluated by workers: photos of several requests together, as at a party."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import structlog
from visard_common.background import Background
from visard_common.errors import InvalidArgument, NotFound, Unavailable
from visard_common.limits import MAX_IMAGES, RETRY_SECONDS
from visard_engine.describe import describe_plan
from visard_engine.field import Elements
from visard_wire.v1 import worker_pb2

from visard_party.batching.batches import Batches
from visard_party.config import ComputingConfig
from visard_party.errors import StoreError
from visard_party.models import ModelShelf, Published
from visard_party.store.base import Store
from visard_party.worker.among import Among

LOOK_SECONDS = 5.0  # before what is published is ready here

log = structlog.get_logger()


@dataclass(frozen=True)
class Photos:
    """This worker's shares of images (N, C, H, W), and what they go through."""

    model: Published
    images: Elements = field(repr=False)


class Describing:
    """Takes part in the evaluations of its like."""

    def __init__(self, config: ComputingConfig, store: Store, among: Among) -> None:
        self._store = store
        self._among = among
        self._models = ModelShelf(store, among.stock, config.stock_target)
        self._batches = Batches(
            among.links, config.max_batches, config.peer_timeout, config.run_timeout, config.batch_wait
        )

    def keep(self, work: Background) -> None:
        """Begin what is done by itself: looking."""
        work.every(LOOK_SECONDS, "models", self.look)

    async def look(self) -> None:
        """Have ready what is published, and let go of what is not any more."""
        try:
            published = await self._store.models()
            gone = {model.name for model in self._models.listed()} - {*published}
            for name in published:
                await self._models.get(name)
            await self._models.renew(gone)
        except (StoreError, NotFound) as error:
            log.warning("models wait for the store", reason=str(error))

    async def photos(
        self, request: worker_pb2.DescribeRequest, pieces: AsyncIterator[worker_pb2.DescribeRequest]
    ) -> "Photos":
        """What a request is about, of which the images are in the pieces; raises ServiceFault, StoreError."""
        if not 1 <= request.photos <= MAX_IMAGES:
            raise InvalidArgument.of("photos", f"1 to {MAX_IMAGES}")
        model = await self._model(request)
        elements, shape, raw = model.model.field, (request.photos, *model.program.input_shape), bytearray()
        size = int(np.prod(shape)) * elements.itemsize
        async for piece in pieces:
            raw += piece.images
            if len(raw) > size:
                break
        if len(raw) != size:
            raise InvalidArgument.of("images", f"{size} bytes for so many photos of this model")
        words = np.frombuffer(raw, elements.dtype)
        if (words >= elements.p).any():
            raise InvalidArgument.of("images", "elements of the field")
        return Photos(model, words.reshape(shape))

    async def describe(
        self, request: worker_pb2.DescribeRequest, photos: "Photos", seconds: float
    ) -> worker_pb2.DescribeResponse:
        """This worker's shares of the descriptors. Raises ServiceFault, StoreError."""
        model = photos.model
        plans = (describe_plan(model.program),) * request.photos
        seen = request.terms, request.model_digest
        async with self._among.run(f"describe by {model.name}", request.session, seen, plans, seconds) as (
            channel,
            kits,
        ):
            found = await self._batches.describe(channel, kits, model, photos.images)
        return worker_pb2.DescribeResponse(
            descriptors=np.concatenate(found).tobytes(),
            rounds=channel.rounds,
            sent_bytes=channel.sent_bytes,
            kit_bytes=sum(plan.correction_bytes for plan in plans),
        )

    async def _model(self, request: worker_pb2.DescribeRequest) -> Published:
        """The version that the party means; raises Unavailable while the store has another."""
        model = await self._models.get(request.model)
        if model.digest != request.model_digest:
            await self._models.renew([request.model])
            model = await self._models.get(request.model)
        if model.digest != request.model_digest:
            raise Unavailable("the model is being changed", retry_after=RETRY_SECONDS)
        return model
