"""The start of a run: terms that differ, refusals and nonsense make all three parties answer the same. Pure."""

import os
from dataclasses import replace

import pytest
from visard_common.errors import ResourceExhausted
from visard_common.limits import FOLLOWERS
from visard_engine.errors import ProtocolError
from visard_party.faults import Refusal
from visard_party.runs.agreement import (
    NONCE_BYTES,
    Proposal,
    Reply,
    Terms,
    Verdict,
    audit_key,
    check,
    coin,
    commitment,
    decode_proposal,
    decode_reply,
    decode_verdict,
    encode,
    tossed,
    verdict,
)

TERMS = Terms("request", "enroller/a", "rows", "model", ("plan", "plan"))
NONCES = tuple(bytes([k]) * NONCE_BYTES for k in range(3))
HEX = tuple(nonce.hex() for nonce in NONCES)


def equal_terms__should_be_accepted() -> None:
    assert check(TERMS, replace(TERMS)) is None


@pytest.mark.parametrize(
    ("own", "code", "text"),
    [
        (replace(TERMS, request="other"), "FAILED_PRECONDITION", "different requests"),
        (replace(TERMS, caller="enroller/b"), "PERMISSION_DENIED", "different callers"),
        # a write may be committed at one of them and not yet at the other: to be asked again
        (replace(TERMS, rows="other"), "UNAVAILABLE", "different references"),
        (replace(TERMS, model="other"), "UNAVAILABLE", "different models"),
        (replace(TERMS, plans=("plan",)), "FAILED_PRECONDITION", "different versions"),
    ],
)
def different_terms__should_be_refused_with_the_reason(own: Terms, code: str, text: str) -> None:
    refusal = check(TERMS, own)
    assert refusal is not None
    assert (refusal.code, text in refusal.message) == (code, True)


def messages__should_survive_the_wire() -> None:
    proposal = Proposal(TERMS, (3, 4), commitment(NONCES[0]), "key")
    refusal = Refusal("RESOURCE_EXHAUSTED", "no kit", 1.5, (7, 1))
    without = replace(proposal, kits=(), audit="")
    for said in (proposal, without):
        assert decode_proposal(encode(said)) == said
    stale = Refusal("RESOURCE_EXHAUSTED", "kits differ", 1.0, stale_kits=True)
    for why_not in (refusal, stale, None):
        assert decode_verdict(encode(Verdict(why_not, HEX))) == Verdict(why_not, HEX)
    for again in (Verdict(None, HEX, again=True), Verdict(None, HEX, again=True, audit_one_in=16)):
        assert decode_verdict(encode(again)) == again
    for reply in (Reply(refusal, nonce=HEX[1]), Reply(None, ("ab", "cd"), HEX[2], "key", 16, aside=True)):
        assert decode_reply(encode(reply)) == reply
    fault = refusal.fault()
    assert isinstance(fault, ResourceExhausted)
    assert (fault.message, fault.retry_after) == ("no kit", 1.5)


def first_refusal__should_be_the_verdict() -> None:
    refusal = Refusal("NOT_FOUND", "no such subject")
    agreed = Reply(None, ("ab",))
    assert verdict([agreed, agreed], ("ab",)) is None
    assert verdict([agreed, Reply(refusal)], ("ab",)) == refusal
    assert verdict([agreed, Reply(refusal)], None) == refusal
    assert verdict([agreed, Reply(None)], None) is None, "the parties begin again: there is nothing to compare"


def kits_of_different_dealers__should_not_be_used() -> None:
    found = verdict([Reply(None, ("ab",)), Reply(None, ("cd",))], ("ab",))
    assert found is not None
    assert (found.code, "differ" in found.message, found.stale_kits) == ("RESOURCE_EXHAUSTED", True, True)


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"[" * 100_000, b"null", b"[]", b"{}", b"\xff", b'{"terms":1,"kits":[1]}',
     b'{"terms":{"request":"r","caller":"","rows":"x","model":"m","plans":["p"]},"kits":[],"commitment":"","audit":"k"}',
     b'{"terms":{"request":"r","caller":"","rows":"x","model":"m","plans":["p"]},"kits":[0],"commitment":"","audit":"k"}',
     b'{"terms":{"request":"r","caller":"","rows":"x","model":"m","plans":["p"]},"kits":[1],"commitment":"","audit":""}'],
)  # fmt: skip
def nonsense__should_be_a_protocol_error(nonsense: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_proposal(nonsense)
    with pytest.raises(ProtocolError):
        decode_reply(nonsense)
    with pytest.raises(ProtocolError):
        decode_verdict(nonsense)


def coin__should_be_the_same_for_all_and_depend_on_every_nonce() -> None:
    proposal, verdict = Proposal(TERMS, (), commitment(NONCES[0])), Verdict(None, HEX)
    assert {tossed(verdict, proposal, party, NONCES[party]) for party in FOLLOWERS} == {coin(NONCES)}
    others = [[b"x" * NONCE_BYTES if k == changed else n for k, n in enumerate(NONCES)] for changed in range(3)]
    assert len({coin(NONCES), coin(NONCES[::-1]), *map(coin, others)}) == 5


@pytest.mark.parametrize("changed", [0, 1])
def nonce_that_is_not_what_was_said_before__should_be_noticed(changed: int) -> None:
    """The leader cannot choose its nonce when it has heard the others', nor tell a party another one than the party's own."""
    said = [os.urandom(NONCE_BYTES).hex() if k == changed else nonce for k, nonce in enumerate(HEX)]
    with pytest.raises(ProtocolError, match="other nonces"):
        tossed(Verdict(None, tuple(said)), Proposal(TERMS, (), commitment(NONCES[0])), 1, NONCES[1])


def nonce_of_another_size__should_be_nonsense() -> None:
    with pytest.raises(ProtocolError):
        decode_verdict(encode(Verdict(None, ("", *HEX[1:]))))
    with pytest.raises(ProtocolError):
        decode_reply(encode(Reply(None, ())))


def unknown_status__should_become_internal() -> None:
    assert Refusal("MADE_UP", "x").fault().code == "INTERNAL"


def audit_key__should_be_the_coins_and_no_weaker_than_this_party_wants() -> None:
    made = [audit_key(Verdict(None, HEX, again=True, audit_one_in=8), coin(NONCES), wanted) for wanted in (0, 8, 16)]
    assert len({key.name for key in made}) == 1
    assert made[0].name != audit_key(Verdict(None, HEX, again=True, audit_one_in=8), coin(NONCES[::-1]), 8).name
    for weaker in (0, 32):
        with pytest.raises(ProtocolError, match="fewer kits"):
            audit_key(Verdict(None, HEX, again=True, audit_one_in=weaker), coin(NONCES), 16)
