"""``python -m tests.web.vectors``: writes tests/vectors, which both clients are held to, in Python and in TypeScript.

With names it writes these files alone. Much in them is random (keys, sharings, sealed messages), so another run writes other
files: that is for when a format changes. All keys in them are made up. Bytes are base64, messages of protobuf are their JSON.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from visard.sharing import share
from visard_wire import cells
from visard_wire.digests import of_row_table
from visard_wire.sealing import Context, commitment, key_id, new_reply_key, seal_result, seal_share
from visard_wire.v1 import common_pb2

from tests.cells import label, table, tables
from tests.web.capturing import capture
from tests.web.coding import ASKED, HOME, REQUESTS, message, text
from tests.web.parties import parties
from tests.web.vouching import vouching

_SEED = bytes(range(16))


def requests() -> Any:
    """Digests of requests."""
    contexts = {name: Context.from_request(request) for name, request in REQUESTS.items()}
    return [
        {"name": name, "request": message(REQUESTS[name]), "fields": text(found.fields), "digest": text(found.digest)}
        for name, found in contexts.items()
    ]


def envelopes() -> Any:
    """Sealed shares, with the keys that open them."""
    found = []
    for party, size in enumerate((0, 5, 300)):
        private, reply, part = X25519PrivateKey.generate(), new_reply_key(), os.urandom(size)
        public = private.public_key().public_bytes_raw()
        sealed = seal_share(public, Context.from_request(ASKED), party, reply, part)
        found.append(
            {
                "request": message(ASKED),
                "party": party,
                "private_key": text(private.private_bytes_raw()),
                "public_key": text(public),
                "key_id": text(key_id(public)),
                "sealed": text(sealed),
                "commitment": text(commitment(sealed)),
                "reply_key": text(reply.reveal()),
                "share": text(part),
            }
        )
    return found


def sharing() -> Any:
    """Sharings of integers; of each field one that a party has changed, and one of words that are no elements."""
    found = []
    for q in (31, 61):
        most = min(((1 << q) - 2) // 2, (1 << 53) - 1)  # a number in JSON
        values = np.array([0, 1, -1, 255, 127, most, -most], np.int64)
        good = share(values, q)
        changed, beyond = [part.copy() for part in good], [part.copy() for part in good]
        changed[1][3] = (int(changed[1][3]) + 1) % ((1 << q) - 1)
        beyond[2][0] = (1 << q) - 1
        line = "a party has changed its share of the output: the three do not lie on a line"
        for parts, outcome in (
            (good, {"values": values.tolist()}),
            (changed, {"error": line}),
            (beyond, {"error": "a party gave words that are no shares"}),
        ):
            found.append({"q": q, "shares": [text(part.tobytes()) for part in parts], **outcome})
    return found


def tables_of_cells() -> Any:
    """Tables of a search, and who stands in them: None where that cannot be told."""
    found = []
    for room, count in ((24, 0), (24, 1), (56, 8), (128, 3), (24, 200)):
        labels = [label(7 * k + room) for k in range(count)]
        cell_list = table(labels, _SEED, room)
        told = cells.peeled(cell_list, cells.hash_keys(_SEED, room))
        named = None if told is None else sorted([one.reference_id, one.subject] for one in told)
        found.append({"room": room, "seed": text(_SEED), "table": text(b"".join(cell_list)), "labels": named})
    return found


def outcomes(bits: bytes, count: int, **others: Any) -> list[common_pb2.Outcome]:
    """Three honest parties' outcomes."""
    pieces = [os.urandom(len(bits)), os.urandom(len(bits))]
    pieces.append(bytes(a ^ b ^ c for a, b, c in zip(bits, *pieces, strict=True)))
    return [
        common_pb2.Outcome(bits=count, piece_own=pieces[i], piece_previous=pieces[i - 1], **others) for i in range(3)
    ]


def answers() -> Any:
    """Sealed answers with what a client makes of them, or the error: of the same name, with the same text."""
    context = Context.from_request(ASKED)
    keys = [new_reply_key() for _ in range(3)]
    cases: list[dict[str, Any]] = []

    def case(name: str, ask: str, told: Sequence[common_pb2.Outcome], **expected: Any) -> dict[str, Any]:
        sealed = [seal_result(key, context, i, one) for i, (key, one) in enumerate(zip(keys, told, strict=True))]
        cases.append({"name": name, "ask": ask, "results": [message(one) for one in sealed], **expected})
        return cases[-1]

    contradiction = "InconsistentAnswer"
    case("match", "match", outcomes(b"\1", 1, operating_point="default"), answer=[True, "default"])
    case("no match", "match", outcomes(b"\0", 1, operating_point="strict"), answer=[False, "strict"])
    case("two bits", "match", outcomes(b"\1", 2), error=[contradiction, "one bit is the answer to this question"])
    other = outcomes(b"\1", 1)
    other[1].piece_own = bytes([other[1].piece_own[0] ^ 1])
    case(
        "a piece changed", "match", other, error=[contradiction, "parties 1 and 2 gave different pieces of the answer"]
    )
    short = outcomes(b"\1", 1)
    short[2].bits = 9
    case("another length", "match", short, error=[contradiction, "the parties' answers have different lengths"])
    swapped = case("swapped", "match", outcomes(b"\1", 1), error=["SealError", "a sealed message does not open"])
    swapped["results"][0]["ciphertext"], swapped["results"][1]["ciphertext"] = (
        swapped["results"][k]["ciphertext"] for k in (1, 0)
    )
    missing = case("one missing", "match", outcomes(b"\1", 1))
    missing["results"].pop()
    missing["error"] = [contradiction, "the answers of three parties are needed, in order"]
    _searches(case)
    _enrolments(case)
    _nearest(case)
    _others(case)
    return {"request": message(ASKED), "reply_keys": [text(key.reveal()) for key in keys], "cases": cases}


def _searches(case: Any) -> None:
    points = ["default", "strict"]
    levels = [[label(1, "ada"), label(2, "bob"), label(3, "bob")], [label(2, "bob")]]
    named = [[f"{2:032x}", "bob", "strict"], [f"{1:032x}", "ada", "default"], [f"{3:032x}", "bob", "default"]]
    found = {"found": named, "more": False, "subject": "bob"}
    case("a search", "candidates 1", _search(levels, points), answer=[found])
    crowd, alone = [label(k) for k in range(9)], [label(1, "ada")]
    more = {"found": [], "more": True, "subject": None}
    one = {"found": [[f"{1:032x}", "ada", "default"]], "more": False, "subject": "ada"}
    case("two images", "candidates 2", _search([crowd, alone], points[:1]), answer=[more, one])
    wrong = outcomes(b"\0", 8, points=points, cell_seed=_SEED, room=24)
    case("no table", "candidates 1", wrong, error=["InconsistentAnswer", "the answer is no table of candidates"])
    torn = outcomes(b"\0", 8, points=points, cell_seed=_SEED, room=24)
    torn[0].room = 56
    case("two rooms", "candidates 1", torn, error=["InconsistentAnswer", "the parties' tables are different ones"])


def _enrolments(case: Any) -> None:
    """Whom else the photos of an enrolment that is to be reviewed may show."""
    points = ["default", "strict"]
    first, second = [[label(1, "ada"), label(2, "bob")], [label(2, "bob")]], [[label(1, "ada")], [label(1, "ada")]]
    named = [[f"{1:032x}", "ada", "default"], [f"{2:032x}", "bob", "strict"]]
    told = _search([*first, *second], points, compared=True)
    case("two photos of an enrolment", "others 2", told, answer=[named, False])
    crowd = [label(k) for k in range(9)]
    case("too many others", "others 1", _search([crowd, crowd], points, compared=True), answer=[[], True])
    case("nobody else", "others 1", [common_pb2.Outcome(compared=True) for _ in range(3)], answer=[[], False])
    case("given again", "others 1", [common_pb2.Outcome(compared=k < 2) for k in range(3)], answer=[[], True])
    torn = _search(first, points, compared=True)
    del torn[1].points[:]
    different = "the parties searched at different points"
    case("other points", "others 1", torn, error=["InconsistentAnswer", different])


def _search(levels: Sequence[Sequence[Any]], points: Sequence[str], **others: Any) -> list[common_pb2.Outcome]:
    """Tables of these references, one after the other."""
    bits = tables(levels, _SEED, 24)
    told = {"points": points, "cell_seed": _SEED, "room": 24, "operating_point": "default", **others}
    return outcomes(bits, 8 * len(bits), **told)


def _nearest(case: Any) -> None:
    rows = ["ann", "bob", "cid"]
    for name, bits, row in (("near", 0b101, "cid"), ("too far", 0b010, None)):
        told = outcomes(bytes([bits]), 3, row_digest=of_row_table(rows))
        told[0].row_subjects[:] = rows
        case(f"nearest, {name}", "nearest", told, answer=row)
    told = outcomes(b"\7", 3, row_digest=of_row_table(rows))
    told[0].row_subjects[:] = rows
    case("nearest, no row", "nearest", told, error=["InconsistentAnswer", "the answer names no row"])
    told[0].row_subjects[0] = "eve"
    gallery = "the parties searched different galleries"
    case("nearest, renamed", "nearest", told, error=["InconsistentAnswer", gallery])


def _others(case: Any) -> None:
    ids = [f"{k:032x}" for k in range(2)]
    case("enrolled", "references", [common_pb2.Outcome(reference_ids=ids) for _ in range(3)], answer=ids)
    case("deleted", "changed", [common_pb2.Outcome(references_changed=2) for _ in range(3)], answer=2)
    torn = [common_pb2.Outcome(references_changed=k) for k in range(3)]
    case("torn", "changed", torn, error=["InconsistentAnswer", "the parties changed different references"])
    for q in (31, 61):
        parts = share(np.array([[1 << 20, -(1 << 19)], [0, 3]], np.int64), q)
        told = [common_pb2.Outcome(output_share=p.tobytes(), output_shape=[2, 2], output_scale=20) for p in parts]
        case(f"output of q = {q}", f"output {q}", told, answer=[[1.0, -0.5, 0.0, 3 / (1 << 20)], [2, 2], 20])


FILES = {
    "requests": requests,
    "envelopes": envelopes,
    "sharing": sharing,
    "cells": tables_of_cells,
    "answers": answers,
    "vouching": vouching,
    "capture": capture,
    "parties": parties,
}


if __name__ == "__main__":
    HOME.mkdir(exist_ok=True)
    for name in sys.argv[1:] or FILES:
        (HOME / f"{name}.json").write_text(json.dumps(FILES[name](), ensure_ascii=False, separators=(",", ":")) + "\n")
