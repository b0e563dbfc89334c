"""A request on its way out: its shares sealed each to its party, named by their hashes, and all of it signed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from visard_wire.callers import Signer
from visard_wire.limits import CHUNK_BYTES
from visard_wire.sealing import Context, commitment, key_id, new_reply_key, seal_share
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

Uploads = AsyncIterator[common_pb2.Upload]

NO_SHARES = (b"", b"", b"")


@dataclass(frozen=True)
class SealedRequest:
    """A signed request, what is handed in with it for each party, and the keys under which the parties will answer."""

    request: common_pb2.Request
    envelopes: tuple[common_pb2.SealedEnvelope, ...]
    reply_keys: tuple[Secret, ...]

    @property
    def context(self) -> Context:
        """What the answers are bound to."""
        return Context.from_request(self.request)

    async def upload(self, program: bytes = b"") -> Uploads:
        """As an upload: the header, then the shares' chunks in turn, so that all parties receive at the same time."""
        sealed = [envelope.ciphertext for envelope in self.envelopes]  # once: a message copies its bytes each time
        infos = [
            common_pb2.SealedShareInfo(party=party, key_id=envelope.key_id, size=len(share))
            for party, (envelope, share) in enumerate(zip(self.envelopes, sealed, strict=True))
        ]
        yield common_pb2.Upload(header=common_pb2.UploadHeader(request=self.request, shares=infos, program=program))
        for index in range(-(-max(info.size for info in infos) // CHUNK_BYTES)):
            for party, share in enumerate(sealed):
                piece = share[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
                last = (index + 1) * CHUNK_BYTES >= len(share)
                yield common_pb2.Upload(chunk=common_pb2.Chunk(party=party, index=index, data=piece, last=last))


def seal(
    request: common_pb2.Request, shares: Sequence[bytes], public_keys: Sequence[bytes], signer: Signer
) -> SealedRequest:
    """Seal a share (or nothing) to each party, say so in the request, and sign it; fresh reply keys each time."""
    fields = Context.from_request(request)
    replies = tuple(new_reply_key() for _ in public_keys)
    envelopes = tuple(
        common_pb2.SealedEnvelope(key_id=key_id(key), ciphertext=seal_share(key, fields, party, reply, share))
        for party, (key, reply, share) in enumerate(zip(public_keys, replies, shares, strict=True))
    )
    request.share_digests[:] = [commitment(envelope.ciphertext) for envelope in envelopes]
    signer.sign(request)
    return SealedRequest(request, envelopes, replies)
