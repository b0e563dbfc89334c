"""Of what three parties answer, only what all of them vouch for is believed."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from visard import opening, received
from visard.errors import InconsistentAnswer, SealError
from visard.sharing import share
from visard_wire.digests import of_row_table
from visard_wire.sealing import Context, new_reply_key, seal_result
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2, gateway_pb2

TABLE = ["ann", "bob", "bob", "cid", "dan"]


def answers(bits: list[bool], table: list[str] | None = None) -> list[common_pb2.Outcome]:
    """Three honest answers: bits as replicated XOR shares, the row table from party 0."""
    packed = np.packbits(np.array(bits, bool), bitorder="little").tobytes()
    pieces = [os.urandom(len(packed)), os.urandom(len(packed))]
    pieces.append(bytes(a ^ b ^ c for a, b, c in zip(packed, *pieces, strict=True)))
    rows = table or []
    return [
        common_pb2.Outcome(
            bits=len(bits),
            piece_own=pieces[i],
            piece_previous=pieces[i - 1],
            row_subjects=rows if i == 0 else [],
            row_digest=of_row_table(rows),
        )
        for i in range(3)
    ]


@pytest.mark.parametrize("match", [True, False])
def verification__should_be_the_one_bit(match: bool) -> None:
    assert opening.match_bit(answers([match])) is match


@pytest.mark.parametrize("count", [0, 2, 9])
def verification__should_refuse_any_other_number_of_bits(count: int) -> None:
    with pytest.raises(InconsistentAnswer):
        opening.match_bit(answers([True] * count))


@given(st.integers(1, 300).flatmap(lambda rows: st.tuples(st.just(rows), st.integers(0, rows - 1))))
def identification__should_name_the_subject_of_the_row(sizes: tuple[int, int]) -> None:
    rows, row = sizes
    table = [f"subject {k}" for k in range(rows)]
    width = (rows - 1).bit_length()
    bits = [True, *(bool(row >> k & 1) for k in range(width))]
    assert opening.matched_subject(answers(bits, table)) == table[row]


def identification__should_name_nobody_without_a_match() -> None:
    assert opening.matched_subject(answers([False, False, False, False], TABLE)) is None


def identification__should_refuse_a_row_beyond_the_table() -> None:
    with pytest.raises(InconsistentAnswer):
        opening.matched_subject(answers([True, True, False, True], TABLE))  # row 5 of rows 0 to 4


def identification__should_refuse_an_answer_without_bits() -> None:
    with pytest.raises(InconsistentAnswer):
        opening.matched_subject(answers([], TABLE))


@pytest.mark.parametrize("party", range(3))
def identification__should_refuse_when_a_party_searched_another_gallery(party: int) -> None:
    outcomes = answers([True, False, False, False], TABLE)
    outcomes[party].row_digest = of_row_table(TABLE[::-1])
    with pytest.raises(InconsistentAnswer):
        opening.matched_subject(outcomes)


def identification__should_refuse_a_table_that_was_changed() -> None:
    outcomes = answers([True, False, False, False], TABLE)
    outcomes[0].row_subjects[0] = "eve"
    with pytest.raises(InconsistentAnswer):
        opening.matched_subject(outcomes)


def row_table__should_have_another_digest_when_names_are_split_otherwise() -> None:
    tables = [["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"], []]
    assert len({of_row_table(table) for table in tables}) == len(tables)


def references__should_be_the_same_at_all_parties() -> None:
    outcomes = [common_pb2.Outcome(reference_ids=["a", "b"]) for _ in range(3)]
    assert opening.reference_ids(outcomes) == ("a", "b")
    outcomes[2].reference_ids[1] = "c"
    with pytest.raises(InconsistentAnswer):
        opening.reference_ids(outcomes)


def sealed_answers(context: Context) -> tuple[gateway_pb2.Result, list[Secret]]:
    keys = [new_reply_key() for _ in range(3)]
    sealed = [seal_result(key, context, i, common_pb2.Outcome(bits=i)) for i, key in enumerate(keys)]
    return gateway_pb2.Result(results=sealed), keys


CONTEXT = Context.from_request(common_pb2.Request(request_id=bytes(16), subject="ann"))
OTHER = Context.from_request(common_pb2.Request(request_id=bytes(16), subject="bob"))


def answers__should_open_in_order_of_the_parties() -> None:
    result, keys = sealed_answers(CONTEXT)
    assert [outcome.bits for outcome in opening.open_all(result.results, CONTEXT, keys)] == [0, 1, 2]


def swap(result: gateway_pb2.Result) -> None:
    """A gateway that passes party 1's answer off as party 2's, and the other way round."""
    first, second = result.results[1].ciphertext, result.results[2].ciphertext
    result.results[1].ciphertext, result.results[2].ciphertext = second, first


def flip(result: gateway_pb2.Result) -> None:
    """One bit on the way."""
    data = bytearray(result.results[0].ciphertext)
    data[0] ^= 1
    result.results[0].ciphertext = bytes(data)


@pytest.mark.parametrize("change", [swap, flip])
def answers__should_not_open_when_the_gateway_changed_them(change: Callable[[gateway_pb2.Result], None]) -> None:
    result, keys = sealed_answers(CONTEXT)
    change(result)
    with pytest.raises(SealError):
        opening.open_all(result.results, CONTEXT, keys)


def answers__should_not_open_for_another_request() -> None:
    result, keys = sealed_answers(OTHER)
    with pytest.raises(SealError):
        opening.open_all(result.results, CONTEXT, keys)


def answers__should_be_three() -> None:
    result, keys = sealed_answers(CONTEXT)
    del result.results[1]
    with pytest.raises(InconsistentAnswer):
        opening.open_all(result.results, CONTEXT, keys)


def writes__should_count_what_all_three_count() -> None:
    outcomes = [common_pb2.Outcome(references_changed=3, program_digest=b"p" * 32) for _ in range(3)]
    assert opening.changed(outcomes) == 3
    opening.check_published(outcomes, b"p" * 32)
    with pytest.raises(InconsistentAnswer, match="another program"):
        opening.check_published(outcomes, b"q" * 32)
    outcomes[1].references_changed, outcomes[2].program_digest = 4, b"q" * 32
    with pytest.raises(InconsistentAnswer):
        opening.changed(outcomes)
    with pytest.raises(InconsistentAnswer):
        opening.check_published(outcomes, b"p" * 32)


def report__should_give_megabytes_and_the_busiest_party() -> None:
    reports = [
        common_pb2.PartyReport(party=i, rounds=40 + i, sent_bytes=(i + 1) * 1_000_000, kit_bytes=2_500_000)
        for i in range(3)
    ]
    report = received.report(1.25, gateway_pb2.Result(reports=reports, gateway_seconds=1.0))
    assert (report.seconds, report.gateway_seconds) == (1.25, 1.0)
    assert (report.rounds, report.sent_mb_per_party, report.kit_mb) == (42, 3.0, 2.5)
    assert [party.sent_mb for party in report.parties] == [1.0, 2.0, 3.0]


def outputs(values: np.ndarray, q: int, scale: int) -> list[common_pb2.Outcome]:
    """Three honest answers with an output."""
    shares = share(values, q)
    return [
        common_pb2.Outcome(output_share=part.tobytes(), output_shape=values.shape, output_scale=scale)
        for part in shares
    ]


@pytest.mark.parametrize("q", [31, 61])
def output__should_be_real_numbers_in_its_shape(q: int) -> None:
    values, scale = opening.output(outputs(np.array([[[-512, 256]]]), q, 8), q)
    assert (values.tolist(), scale) == ([[[-2.0, 1.0]]], 8)


def all_of(outcomes: list[common_pb2.Outcome], spoil: Callable[[common_pb2.Outcome], object]) -> None:
    for outcome in outcomes:
        spoil(outcome)


SPOILT: dict[str, Callable[[list[common_pb2.Outcome]], object]] = {
    "another shape": lambda o: o[1].output_shape.append(1),
    "another scale": lambda o: setattr(o[2], "output_scale", 3),
    "a short share": lambda o: setattr(o[0], "output_share", o[0].output_share[:-1]),
    "no output": lambda o: all_of(o, lambda outcome: outcome.Clear()),
    "a mad scale": lambda o: all_of(o, lambda outcome: setattr(outcome, "output_scale", 1 << 20)),
    "a share that one party has changed": lambda o: setattr(o[2], "output_share", bytes(8)),
    "a mad shape": lambda o: all_of(o, lambda outcome: outcome.output_shape.append(1 << 31)),
}


@pytest.mark.parametrize("spoil", SPOILT)
def output_that_does_not_fit__should_be_refused(spoil: str) -> None:
    answers = outputs(np.array([[1, 2]]), 31, 8)
    SPOILT[spoil](answers)
    with pytest.raises(InconsistentAnswer):
        opening.output(answers, 31)
