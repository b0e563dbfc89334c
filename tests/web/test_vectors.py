"""What both clients are held to is what Python does: the npm package's tests read the same files."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.protobuf import json_format
from visard import opening
from visard.errors import InconsistentAnswer, VisardError
from visard.sharing import combine, word_type
from visard_wire import cells
from visard_wire.callers import signed_by
from visard_wire.partykeys import verify_party_key
from visard_wire.sealing import Context, commitment, key_id, open_share
from visard_wire.v1 import common_pb2
from visard_wire.vouching import Trust

from tests.web.capturing import capture
from tests.web.coding import read, secret

VOUCHING = read("vouching")
ANSWERS = read("answers")


def name_of(case: Any) -> str:
    return str(case["name"]) if isinstance(case, dict) and "name" in case else ""


def asked(data: Any) -> common_pb2.Request:
    return json_format.ParseDict(data, common_pb2.Request())


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


def outcome(work: Callable[[], Any]) -> Any:
    """What work gives, or its error as the files have it."""
    try:
        return work()
    except VisardError as error:
        return [type(error).__name__, str(error)]


@pytest.mark.parametrize("case", read("requests"), ids=name_of)
def request__should_have_its_digests(case: Any) -> None:
    context = Context.from_request(asked(case["request"]))
    assert (context.fields, context.digest) == (decoded(case["fields"]), decoded(case["digest"]))


@pytest.mark.parametrize("case", read("envelopes"))
def envelope__should_open(case: Any) -> None:
    private, sealed = X25519PrivateKey.from_private_bytes(decoded(case["private_key"])), decoded(case["sealed"])
    public = private.public_key().public_bytes_raw()
    assert (key_id(public), commitment(sealed)) == (decoded(case["key_id"]), decoded(case["commitment"]))
    opened = open_share(private, Context.from_request(asked(case["request"])), case["party"], sealed)
    assert opened == (secret(case["reply_key"]), secret(case["share"]))


@pytest.mark.parametrize("case", read("sharing"))
def shares__should_be_put_together(case: Any) -> None:
    shares = [np.frombuffer(decoded(part), word_type(case["q"])) for part in case["shares"]]
    if "error" in case:
        with pytest.raises(InconsistentAnswer) as raised:
            combine(shares, case["q"])
        assert str(raised.value) == case["error"]
    else:
        assert combine(shares, case["q"]).tolist() == case["values"]


@pytest.mark.parametrize("case", read("cells"))
def table__should_tell_who_stands_in_it(case: Any) -> None:
    table, keys = decoded(case["table"]), cells.hash_keys(decoded(case["seed"]), case["room"])
    size = len(table) // cells.CELLS
    found = cells.peeled([table[k : k + size] for k in range(0, len(table), size)], keys)
    assert case["labels"] == (None if found is None else sorted([one.reference_id, one.subject] for one in found))


@pytest.mark.parametrize("case", ANSWERS["cases"], ids=name_of)
def answer__should_be_what_the_parties_say_or_an_error(case: Any) -> None:
    keys = [secret(key) for key in ANSWERS["reply_keys"]]
    sealed = [json_format.ParseDict(one, common_pb2.SealedResult()) for one in case["results"]]
    context = Context.from_request(asked(ANSWERS["request"]))
    told = outcome(lambda: READ[case["ask"].split()[0]](opening.open_all(sealed, context, keys), case["ask"]))
    assert told == case.get("error", case.get("answer"))


def _candidates(told: Sequence[common_pb2.Outcome], ask: str) -> Any:
    return [
        {
            "found": [[one.reference_id, one.subject, one.operating_point] for one in found],
            "more": more,
            "subject": opening.only_subject(found),
        }
        for found, more in opening.candidates(told, int(ask.split()[1]))
    ]


def _others(told: Sequence[common_pb2.Outcome], ask: str) -> Any:
    found, more = opening.others(told, int(ask.split()[1]))
    return [[[one.reference_id, one.subject, one.operating_point] for one in found], more]


def _output(told: Sequence[common_pb2.Outcome], ask: str) -> Any:
    values, scale = opening.output(told, int(ask.split()[1]))
    return [values.reshape(-1).tolist(), list(values.shape), scale]


READ: dict[str, Callable[[Sequence[common_pb2.Outcome], str], Any]] = {
    "match": lambda told, _: [opening.match_bit(told), opening.operating_point(told)],
    "candidates": _candidates,
    "others": _others,
    "nearest": lambda told, _: opening.matched_subject(told),
    "references": lambda told, _: list(opening.reference_ids(told)),
    "changed": lambda told, _: opening.changed(told),
    "output": _output,
}


def trust(name: str) -> Trust:
    roots = {pattern: pem.encode() for pattern, pem in VOUCHING["trusts"][name].items()}
    return Trust.each(roots) if "" not in roots else Trust.one(roots[""])


@pytest.mark.parametrize("case", VOUCHING["chains"], ids=name_of)
def chain__should_be_believed_or_not(case: Any) -> None:
    told = outcome(lambda: trust(case["trust"]).names([decoded(one) for one in case["chain"]]))
    assert told == case.get("error", case.get("names"))


@pytest.mark.parametrize("case", VOUCHING["keys"], ids=name_of)
def party_key__should_be_believed_or_not(case: Any) -> None:
    key = json_format.ParseDict(case["key"], common_pb2.PartyKey())
    told = outcome(lambda: verify_party_key(trust(case["trust"]), case["party"], key, VOUCHING["now"]))
    assert told == case["error"]


@pytest.mark.parametrize("case", VOUCHING["callers"], ids=name_of)
def caller__should_be_believed_or_not(case: Any) -> None:
    told = outcome(lambda: signed_by(trust(case["trust"]), asked(case["request"])))
    assert told == case.get("error", case.get("names"))


@pytest.mark.parametrize(("made", "written"), list(zip(capture(), read("capture"), strict=True)), ids=lambda _: "")
def chips_and_quality__should_be_as_written(made: Any, written: Any) -> None:
    """They are of pictures that are drawn, so they come out again; processors may differ in a last digit, and so in one level."""
    for name, chip in written["chips"].items():
        levels, others = (np.frombuffer(decoded(one), np.uint8).astype(int) for one in (chip, made["chips"][name]))
        assert np.abs(levels - others).max() <= 1
    now, before = made["judged"], written["judged"]
    assert now["wrong"] == before["wrong"]
    assert now["quality"] == pytest.approx(before["quality"], rel=1e-3, abs=1e-3)
    assert [now[key] for key in ("outside", "misfit", "blank")] == pytest.approx(
        [before[key] for key in ("outside", "misfit", "blank")], abs=1e-3
    )
