"""A caller's text of 200 KB, in any field of any request, is answered by a short status that names what is wrong."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from visard.cluster import Cluster
from visard_common.limits import MAX_TEXT
from visard_common.operations import DECLARED, word
from visard_common.roles import method_of
from visard_wire.sealing import envelope_size
from visard_wire.v1 import common_pb2, dealer_pb2, gateway_pb2, party_pb2

from tests.e2e import raw

LONG = 200_000
Operation = common_pb2.Operation
# who serves what, and who may ask for it
SERVICES = {
    "FaceMatching": (gateway_pb2, "gateway", "client"),
    "ModelRegistry": (gateway_pb2, "gateway", "owner"),
    "Admin": (gateway_pb2, "gateway", "admin"),
    "Party": (party_pb2, "party1", "gateway"),
    "Dealer": (dealer_pb2, "dealer", "party1"),
}
_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


@dataclass(frozen=True)
class Case:
    """One text of one request of one call."""

    service: str
    method: MethodDescriptor
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.service}.{self.method.name}:{'.'.join(self.path)}"


def texts(message: Descriptor) -> Iterator[tuple[str, ...]]:
    """Paths of all texts that a message may carry."""
    for field in message.fields:
        if field.type in _TEXTS:
            yield (field.name,)
        elif field.message_type is not None:
            yield from ((field.name, *rest) for rest in texts(field.message_type))


CASES = [
    Case(service, method, path)
    for service, (file, _, _) in SERVICES.items()
    for method in file.DESCRIPTOR.services_by_name[service].methods
    for path in texts(method.input_type)
]


BY_METHOD = {method_of(number): word(number).upper() for number in DECLARED}
GALLERIES = ("CREATE_GALLERY", "CHANGE_GALLERY", "DELETE_GALLERY")


def operation_of(case: Case) -> str:
    name = case.method.name
    if name == "Run":
        return "VERIFY" if case.service == "Party" else "RUN"
    return "COMPARE" if name == "Deposit" else BY_METHOD[name]


def asked(operation: str) -> common_pb2.Request:
    """A request whose every field is right."""
    now = int(time.time() * 1000)
    return common_pb2.Request(
        request_id=os.urandom(16),
        operation=Operation.Value(f"OPERATION_{operation}"),
        subject="ada" if operation in ("ENROL", "VERIFY", "DELETE", "RENAME", "REVIEW", "MIGRATE") else "",
        new_subject="eve" if operation == "RENAME" else "",
        model="" if operation in ("REFRESH", "RECOVER", *GALLERIES) else "face",
        gallery="staff" if operation in GALLERIES else "",
        new_model="face2" if operation == "MIGRATE" else "",
        images={"ENROL": 1, "VERIFY": 1, "IDENTIFY": 1, "COMPARE": 2, "RUN": 1, "MIGRATE": 1}.get(operation, 0),
        program_digest=bytes(32) if operation in ("PUBLISH", "CALIBRATE") else b"",
        points=[common_pb2.OperatingPoint(name="default", distance=1.0)] if operation == "CALIBRATE" else [],
        deployment="berlin" if operation in ("EXPORT", "IMPORT") else "",
        grantee="enroller/kiosk-7" if operation in ("GRANT", "REVOKE") else "",
        sent_unix_ms=now,
        expires_unix_ms=now + 60_000,
        share_digests=[bytes(32)] * 3,
    )


def request(case: Case) -> Message:
    """What the call takes, right in all but the one field, which is long."""
    made = GetMessageClass(case.method.input_type)()
    top = {field.name for field in case.method.input_type.fields}
    if "header" in top:
        parties = (1,) if case.service == "Party" else range(3)
        size = envelope_size(2 * 3 * 150 * 150 * 4)
        shares = [common_pb2.SealedShareInfo(party=party, key_id=bytes(8), size=size) for party in parties]
        made.header.CopyFrom(common_pb2.UploadHeader(request=asked(operation_of(case)), shares=shares))  # type: ignore[attr-defined]
    if "request" in top:
        made.request.CopyFrom(asked(operation_of(case)))  # type: ignore[attr-defined]
    if "envelopes" in top:
        sealed = common_pb2.SealedEnvelope(key_id=bytes(8), ciphertext=bytes(envelope_size(0)))
        made.envelopes.extend([sealed] * 3)  # type: ignore[attr-defined]
    for name, value in (("model", "face"), ("subject", "ada"), ("attempt", bytes(16)), ("first", 1), ("count", 1)):
        if name in top:
            setattr(made, name, value)
    return made


def signed(cluster: Cluster, case: Case) -> Message:
    """The same, signed by somebody who may ask for it, then spoilt."""
    made, role = request(case), SERVICES[case.service][2]
    signer = raw.signer(cluster, role if role in ("owner", "admin") else "client")
    if made.DESCRIPTOR.name == "Upload":
        signer.sign(made.header.request)  # type: ignore[attr-defined]
    elif "request" in made.DESCRIPTOR.fields_by_name:
        signer.sign(made.request)  # type: ignore[attr-defined]
    spoil(made, case.path)
    return made


def spoil(message: Any, path: tuple[str, ...]) -> None:
    """Write 200 KB into the field at the end of a path."""
    *above, last = path
    for name in above:
        value = getattr(message, name)
        message = (value[0] if len(value) else value.add()) if hasattr(value, "add") else value
    field = message.DESCRIPTOR.fields_by_name[last]
    long: Any = "x" * LONG if field.type == FieldDescriptor.TYPE_STRING else b"x" * LONG
    if field.is_repeated:
        getattr(message, last).append(long)
    else:
        setattr(message, last, long)


async def answer(cluster: Cluster, case: Case) -> grpc.aio.AioRpcError:
    """How the call ends."""
    _, where, role = SERVICES[case.service]
    folder, kind = cluster.home / "certs", case.method
    pem = [(folder / name).read_bytes() for name in ("ca.pem", f"{role}.key", f"{role}.pem")]
    async with grpc.aio.secure_channel(cluster.address(where), grpc.ssl_channel_credentials(*pem)) as channel:
        shape = "_".join("stream" if s else "unary" for s in (kind.client_streaming, kind.server_streaming))
        path = f"/visard.v1.{case.service}/{kind.name}"
        call = getattr(channel, shape)(path, request_serializer=lambda m: m.SerializeToString())
        made = signed(cluster, case)
        asking = call(iter(upload(cluster, case, made)) if kind.client_streaming else made, timeout=60)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (asking.read() if kind.server_streaming else asking)
        if kind.server_streaming:
            await asking.code()
        return caught.value


def upload(cluster: Cluster, case: Case, spoilt: Message) -> list[Message]:
    """The messages of an upload: before a spoilt chunk goes the header that is right."""
    if case.path[0] == "header":
        return [spoilt]
    header = signed(cluster, Case(case.service, case.method, ("header", "program")))
    header.header.program = b""  # type: ignore[attr-defined]
    return [header, spoilt]


@pytest.mark.parametrize("case", CASES, ids=str)
async def long_text__should_be_refused_in_few_words(cluster: Cluster, case: Case) -> None:
    error = await answer(cluster, case)
    text = error.details() or ""
    assert len(text) <= MAX_TEXT, text
    assert "xxxxxxxxx" not in text
    allowed = {grpc.StatusCode.INVALID_ARGUMENT}
    if "caller" in case.path:  # a signature, or a certificate: whoever asks has not proven who he is
        allowed.add(grpc.StatusCode.PERMISSION_DENIED)
    assert error.code() in allowed, text
    sizes = [len(value) for _, value in raw.trailers(error)]
    assert sum(sizes) < 2000
