"""The start of a run: terms that differ, refusals and nonsense make all three parties answer the same. Pure."""

import pytest

from services.common.errors import ResourceExhausted
from services.mpc.errors import ProtocolError
from services.party.agreement import (
    Proposal,
    Refusal,
    Reply,
    Terms,
    check,
    decode_proposal,
    decode_reply,
    decode_verdict,
    encode,
    verdict,
)

TERMS = Terms("request", "rows", ("plan", "plan"))


def equal_terms__should_be_accepted() -> None:
    assert check(TERMS, Terms("request", "rows", ("plan", "plan"))) is None


@pytest.mark.parametrize(
    ("own", "code", "text"),
    [
        (Terms("other", "rows", ("plan", "plan")), "FAILED_PRECONDITION", "different requests"),
        # a write may be committed at one of them and not yet at the other: to be asked again
        (Terms("request", "other", ("plan", "plan")), "UNAVAILABLE", "different references"),
        (Terms("request", "rows", ("plan",)), "FAILED_PRECONDITION", "different versions"),
    ],
)
def different_terms__should_be_refused_with_the_reason(own: Terms, code: str, text: str) -> None:
    refusal = check(TERMS, own)
    assert refusal is not None
    assert (refusal.code, text in refusal.message) == (code, True)


def messages__should_survive_the_wire() -> None:
    proposal = Proposal(TERMS, (3, 4))
    refusal = Refusal("RESOURCE_EXHAUSTED", "no kit", 1.5, (7, 1))
    assert decode_proposal(encode(proposal)) == proposal
    assert decode_verdict(encode(refusal)) == refusal
    assert decode_verdict(encode(None)) is None
    stale = Refusal("RESOURCE_EXHAUSTED", "kits differ", 1.0, stale_kits=True)
    assert decode_verdict(encode(stale)) == stale
    for reply in (Reply(refusal), Reply(None, ("ab", "cd"))):
        assert decode_reply(encode(reply)) == reply
    fault = refusal.fault()
    assert isinstance(fault, ResourceExhausted)
    assert (fault.message, fault.retry_after) == ("no kit", 1.5)


def first_refusal__should_be_the_verdict() -> None:
    refusal = Refusal("NOT_FOUND", "no such subject")
    agreed = Reply(None, ("ab",))
    assert verdict([agreed, agreed], ("ab",)) is None
    assert verdict([agreed, Reply(refusal)], ("ab",)) == refusal


def kits_of_different_dealers__should_not_be_used() -> None:
    found = verdict([Reply(None, ("ab",)), Reply(None, ("cd",))], ("ab",))
    assert found is not None
    assert (found.code, "differ" in found.message, found.stale_kits) == ("RESOURCE_EXHAUSTED", True, True)


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"[" * 100_000, b"null", b"[]", b"{}", b'{"terms":{"request":"r","rows":"x","plans":["p"]},"kits":[]}', b"\xff",
     b'{"terms":{"request":"r","rows":"x","plans":["p"]},"kits":[0]}', b'{"terms":1,"kits":[1]}'],
)  # fmt: skip
def nonsense__should_be_a_protocol_error(nonsense: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_proposal(nonsense)
    with pytest.raises(ProtocolError):
        decode_reply(nonsense)
    if nonsense != b"null":
        with pytest.raises(ProtocolError):
            decode_verdict(nonsense)


def unknown_status__should_become_internal() -> None:
    assert Refusal("MADE_UP", "x").fault().code == "INTERNAL"
