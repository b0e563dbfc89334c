"""Uploads: images as sealed shares, cut into the messages that the gateway takes."""

from collections.abc import AsyncIterator, Sequence

import numpy as np
import numpy.typing as npt

from visard.capture import Chip
from visard.errors import InvalidRequest
from visard.sealing import Context, key_id, new_reply_key, seal_share
from visard.secret import Secret
from visard.sharing import share
from visard.v1 import common_pb2

CHUNK_BYTES = 64 << 10

Uploads = AsyncIterator[common_pb2.Upload]


def seal(
    request: common_pb2.Request,
    values: Sequence[npt.NDArray[np.int64]],
    q: int,
    keys: list[bytes],
    program: bytes = b"",
) -> tuple[Uploads, list[Secret]]:
    """Shares of the values, sealed each to its party, as an upload; and the reply keys inside."""
    context = Context.from_request(request)
    shares = share(np.concatenate([v.reshape(-1) for v in values]), q)
    replies = [new_reply_key() for _ in keys]
    sealed = [
        seal_share(key, context, party, reply, part.tobytes())
        for party, (key, reply, part) in enumerate(zip(keys, replies, shares, strict=True))
    ]
    infos = [
        common_pb2.SealedShareInfo(party=party, key_id=key_id(key), size=len(data))
        for party, (key, data) in enumerate(zip(keys, sealed, strict=True))
    ]
    header = common_pb2.UploadHeader(request=request, shares=infos, program=program)
    return _chunks(header, sealed), replies


async def _chunks(header: common_pb2.UploadHeader, sealed: Sequence[bytes]) -> Uploads:
    """The upload: the header, then the shares' chunks in turn, so that all parties receive at the same time."""
    yield common_pb2.Upload(header=header)
    for index in range(-(-max(map(len, sealed)) // CHUNK_BYTES)):
        for party, data in enumerate(sealed):
            piece = data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
            last = (index + 1) * CHUNK_BYTES >= len(data)
            yield common_pb2.Upload(chunk=common_pb2.Chunk(party=party, index=index, data=piece, last=last))


def pixels(chip: Chip, info: common_pb2.ModelInfo) -> npt.NDArray[np.int64]:
    """A chip as the model's input, (C, H, W)."""
    image = chip.pixels.transpose(2, 0, 1).astype(np.int64)
    if list(image.shape) != list(info.input_shape):
        raise InvalidRequest(
            f"model {info.name} takes images of shape {list(info.input_shape)}, not {list(image.shape)}"
        )
    return image
