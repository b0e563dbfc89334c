"""Hashes over parts have the bytes that they always had: stores, logs and signatures of before are worth what they were."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from visard_party.consistency.sets import element_hash
from visard_party.models import Published
from visard_party.store.contents import Name, rows_digest
from visard_wire.chain import GENESIS, Entry
from visard_wire.digests import of_parts, of_row_table, sized
from visard_wire.sealing import Context
from visard_wire.v1 import common_pb2

REQUEST = common_pb2.Request(
    request_id=b"0123456789abcdef",
    operation=common_pb2.Operation.OPERATION_ENROL,
    subject="adá",
    model="face",
    images=2,
    operating_point="strict",
    expires_unix_ms=1_790_000_000_000,
    sent_unix_ms=1_789_999_700_000,
    program_digest=b"p" * 32,
    reference_ids=["a", "bc"],
    new_subject="eve",
    replace=True,
    ttl_seconds=60,
    metadata=b"note",
    party=2,
    grantee="enroller/kiosk-7",
    instead_of=[b"i" * 16],
    share_digests=[bytes([k]) * 32 for k in range(3)],
)


def parts__should_be_told_apart_by_their_lengths() -> None:
    assert sized(b"ab") == b"\0\0\0\2ab"
    assert len({of_parts(b"x", parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""])}) == 4


def request__should_have_the_digests_it_always_had() -> None:
    context = Context.from_request(REQUEST)
    assert context.fields.hex() == "1fb61dc4f2be0b5bebe95b9859498f8879899728fcbb952fd980683f9c920784"
    assert context.digest.hex() == "327d197246e06e5233f3ebb7bbf08a2fd66c6e54b939196c032788ea1ae0d096"


def entry_of_the_log__should_have_the_hash_it_always_had() -> None:
    words = ("enroller/kiosk-7", "enrol", "face", "adá", "", "")
    one = Entry(7, 1_790_000_000_000, *words, b"0123456789abcdef", "OK")
    assert one.link(GENESIS) != replace(one, detail="program").link(GENESIS)
    assert one.link(GENESIS).hex() == "c12448d9dc6d795f1d4a12d52a52297a6457f3b3302534a46dbb0ddd8be6cacc"


def tables_of_rows__should_have_the_digests_they_always_had() -> None:
    told = of_row_table(["adá", "", "bob"])
    assert told.hex() == "5fd19b64f1259667aedb5f4cef6678cb3c5e19c4e9f304595c8c0c077e0da811"
    names = [Name("00" * 16, "adá", "face", 1, "enroller/kiosk-7"), Name("ff" * 16, "bob", "face", 12)]
    assert rows_digest(names).hex() == "06fb812fe736d12a64ee9bdf6f59128e513feb4eb426eac0743a95c5b6a41884"


def member_of_a_set__should_have_the_hash_it_always_had() -> None:
    assert f"{element_hash([b'ab', b'', b'c']):0128x}" == (
        "f141b5da7c15346875fb2023581a31999e93bf8b604861181bf296aec6a82b25"
        "68d849afadaf64c66a35128aaa7cbea15a7fdb1fb0aa2581ee9d03e7f234421d"
    )


def publication__should_have_the_digest_it_always_had() -> None:
    model = SimpleNamespace(program=SimpleNamespace(digest=b"p" * 32))
    told = Published("fäce", 3, 1_790_000_000_000, cast(Any, model)).publication
    assert told.hex() == "3b962509d43917545a5732ed0a24e3a764f779041964785692725e56f20250d4"
