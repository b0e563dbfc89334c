"""What the vectors are written with: requests, and how bytes and messages lie in JSON."""

import base64
import json
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

HOME = Path(__file__).parents[1] / "vectors"
ASKED = common_pb2.Request(
    request_id=bytes(range(16)), operation=common_pb2.OPERATION_VERIFY, subject="ada", model="face", images=1
)
REQUESTS: dict[str, common_pb2.Request] = {
    "empty": common_pb2.Request(),
    "verify": ASKED,
    "every field": common_pb2.Request(
        request_id=b"0123456789abcdef",
        operation=common_pb2.OPERATION_ENROL,
        subject="adá",
        model="face",
        images=2,
        operating_point="strict",
        expires_unix_ms=1_790_000_000_000,
        sent_unix_ms=(1 << 64) - 1,
        program_digest=b"p" * 32,
        reference_ids=["a", "bc", ""],
        new_subject="eve",
        replace=True,
        unique=True,
        ttl_seconds=(1 << 32) - 1,
        metadata=bytes(range(256)),
        party=2,
        grantee="enroller/kiosk-7",
        instead_of=[b"i" * 16, b""],
        points=[common_pb2.OperatingPoint(name="default", distance=1.1, false_match_rate=1e-4), common_pb2.OperatingPoint()],
        allow_large_gallery=True,
        nearest=True,
        share_digests=[bytes([k]) * 32 for k in range(3)],
    ),
    "points": common_pb2.Request(points=[common_pb2.OperatingPoint(name="a", distance=1.0000000000000002)]),
    "large gallery": common_pb2.Request(allow_large_gallery=True),
    "nearest": common_pb2.Request(nearest=True),
    "gallery": common_pb2.Request(gallery="door", nearest=True),
    "rules": common_pb2.Request(rules=[common_pb2.GalleryRule(may="search", callers="*"), common_pb2.GalleryRule()]),
    "review": common_pb2.Request(review=True),
    "moved": common_pb2.Request(operation=common_pb2.OPERATION_MIGRATE, model="a", new_model="b"),
    "kept": common_pb2.Request(operation=common_pb2.OPERATION_MIGRATE, gallery="door", new_model="b", keep=True),
    "exported": common_pb2.Request(operation=common_pb2.OPERATION_EXPORT, gallery="door", deployment="berlin"),
    "accept": common_pb2.Request(operation=common_pb2.OPERATION_REVIEW, gallery="door", nearest=True, accept=True),
}  # fmt: skip


def text(data: bytes) -> str:
    """Bytes in JSON."""
    return base64.b64encode(data).decode()


def message(one: Message) -> Any:
    """A message in JSON."""
    return json_format.MessageToDict(one)


def read(name: str) -> Any:
    """What a file holds."""
    return json.loads((HOME / f"{name}.json").read_text())


def secret(told: str) -> Secret:
    """A key out of a file."""
    return Secret(base64.b64decode(told))
