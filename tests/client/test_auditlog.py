"""Three logs are compared request by request, and a line that was changed, taken out or moved does not fit into its chain."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from visard import auditlog
from visard.admin import Admin
from visard.auditlog import MARGIN_MS, SETTLE_MS, PartyLog
from visard.calls import Caller
from visard_wire.chain import GENESIS, Entry, entry, message, outcome
from visard_wire.v1 import gateway_pb2

T = TypeVar("T")
NOW = 1_790_000_000_000
KIOSK = "enroller/kiosk-7"


def asked(number: int, code: str = "OK", **changes: Any) -> Entry:
    """An entry of long ago, whose number in the log is given later."""
    names = (KIOSK, "enrol", "face", f"s{number}", "", "")
    return replace(Entry(0, NOW - 10**7 + number, *names, number.to_bytes(16, "big"), code), **changes)


def log(party: int, entries: Sequence[Entry], begins_after: int = 0, anchor: bytes = GENESIS) -> PartyLog:
    made = PartyLog(party, begins_after, anchor, 0, NOW)
    for one in entries:
        fixed = replace(one, sequence=begins_after + len(made.entries) + 1)
        made = replace(made, entries=(*made.entries, fixed), hashes=(*made.hashes, fixed.link(made.head)))
    return made


def logs(*parties: Sequence[Entry]) -> list[PartyLog]:
    return [log(party, entries) for party, entries in enumerate(parties)]


def hash__should_cover_every_field_and_the_entry_before() -> None:
    one = Entry(1, 2, "caller", "enrol", "face", "ada", "eve", "grantee", bytes(16), "OK")
    numbers = ("sequence", "time_unix_ms")
    texts = ("caller", "operation", "model", "subject", "new_subject", "grantee", "code")
    fields: list[dict[str, Any]] = [*({name: 9} for name in numbers), *({name: "other"} for name in texts)]
    changed = [replace(one, **field) for field in fields]
    changed += [replace(one, request_id=b"1" * 16), replace(one, subject="adae", new_subject="ve")]
    links = {other.link(GENESIS) for other in changed} | {one.link(GENESIS), one.link(b"1" * 32)}
    assert len(links) == len(changed) + 2
    assert entry(message(one, bytes(32))) == one


def statuses__should_have_classes() -> None:
    found = {
        code: outcome(code) for code in ("OK", "PERMISSION_DENIED", "NOT_FOUND", "ABORTED", "CANCELLED", "INTERNAL")
    }
    assert list(found.values()) == ["ok", "refused", "refused", "failed", "failed", "failed"]


def equal_logs__should_agree_whatever_their_order_and_clocks() -> None:
    one, two, three = (asked(k) for k in range(3))
    late = replace(two, time_unix_ms=two.time_unix_ms + 5000)
    found = auditlog.compare(logs([one, two, three], [three, one, late], [two, one, three]))
    assert (found.differences, found.incomplete) == ((), 0)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {"caller": "enroller/x"},
        {"operation": "delete"},
        {"model": "other"},
        {"subject": "eve"},
        {"new_subject": "eve"},
        {"grantee": "owner/x"},
        {"code": "PERMISSION_DENIED"},
        {"code": "CANCELLED"},
    ],
)
@pytest.mark.parametrize("party", [0, 1, 2])
def request_that_one_party_lacks_or_tells_otherwise__should_be_found(party: int, told: dict[str, str] | None) -> None:
    parties = [[asked(k) for k in range(3)] for _ in range(3)]
    parties[party][1:2] = [] if told is None else [replace(asked(1), **cast(Any, told))]
    (difference,) = auditlog.compare(logs(*parties)).differences
    assert difference.request_id == asked(1).request_id
    assert (difference.parties[party] is None) == (told is None)
    assert difference.parties[(party + 1) % 3] == difference.parties[(party + 2) % 3]
    assert f"{KIOSK} enrol face s1: ok" in map(str, difference.parties)


def requests_under_way__should_be_no_difference_and_later_ones_should() -> None:
    for age, expected in ((SETTLE_MS - 1, 0), (SETTLE_MS, 1)):
        fresh = asked(9, time_unix_ms=NOW - age)
        assert len(auditlog.compare(logs([fresh], [], [])).differences) == expected


def request_that_failed__should_be_counted_where_others_lack_it_and_be_no_difference_to_a_refusal() -> None:
    cut, refused = asked(1, "UNAVAILABLE"), asked(2, "INVALID_ARGUMENT")
    found = auditlog.compare(logs([cut, refused], [replace(refused, code="CANCELLED")], [refused]))
    assert (found.differences, found.incomplete) == ((), 1)


def request_refused_at_one_party_alone__should_be_a_difference() -> None:
    assert len(auditlog.compare(logs([], [asked(1, "PERMISSION_DENIED")], [])).differences) == 1


def write_sent_again__should_count_as_its_best_outcome() -> None:
    first, again = asked(1, "UNAVAILABLE"), asked(1)
    assert auditlog.compare(logs([first, again], [again], [first, first, again])).differences == ()
    other = asked(1, subject="eve")
    assert len(auditlog.compare(logs([first, again], [again], [first, other])).differences) == 1


def times_before_the_question_and_before_a_pruned_logs_beginning__should_be_left_out() -> None:
    old, new = asked(1), asked(2, time_unix_ms=NOW - SETTLE_MS)
    parties = logs([old, new], [new], [new])
    assert len(auditlog.compare(parties).differences) == 1
    assert auditlog.compare(parties, old.time_unix_ms + 1).differences == ()
    parties[1] = replace(parties[1], complete_from=old.time_unix_ms - MARGIN_MS)
    assert len(auditlog.compare(parties).differences) == 1
    parties[1] = replace(parties[1], complete_from=parties[1].complete_from + 1)
    assert auditlog.compare(parties).differences == ()


def summary__should_count_by_caller_operation_and_status() -> None:
    refused = [asked(k, "PERMISSION_DENIED", caller="enroller/x") for k in (3, 4)]
    parties = logs([asked(1), *refused], [asked(1), *refused], [asked(1), refused[0]])
    assert auditlog.summary(parties) == [(KIOSK, "enrol", "OK", 1), ("enroller/x", "enrol", "PERMISSION_DENIED", 2)]
    assert auditlog.summary(parties, NOW) == []


class Told:
    """Three logs behind a caller of the gateway, in pages of two."""

    def __init__(self, parties: Sequence[PartyLog]) -> None:
        self.parties = parties
        self.admin = self

    async def again(self, call: Callable[[float], Awaitable[T]]) -> T:
        return await call(1.0)

    async def AuditLog(self, ask: gateway_pb2.AuditLogRequest, timeout: float) -> gateway_pb2.AuditLogResponse:
        told, after, since = self.parties[ask.party], ask.after, ask.since_unix_ms
        rows = list(zip(told.entries, told.hashes, strict=True))
        first = next((k for k, (e, _) in enumerate(rows) if e.sequence > after and e.time_unix_ms >= since), len(rows))
        before = rows[first - 1] if first else None
        return gateway_pb2.AuditLogResponse(
            entries=[message(*row) for row in rows[first : first + 2]],
            previous_sequence=before[0].sequence if before else told.begins_after,
            previous_hash=before[1] if before else told.anchor,
            previous_unix_ms=before[0].time_unix_ms if before else told.complete_from,
            now_unix_ms=NOW,
        )


async def logs__should_be_fetched_whole_or_from_a_little_before_a_time() -> None:
    entries = [asked(k, time_unix_ms=NOW - (10 - k) * MARGIN_MS) for k in range(7)]
    told = [log(0, entries), log(1, entries, 40, b"a" * 32), log(2, [])]
    assert await Admin(cast(Caller, Told(told))).audit_log() == told
    fetched = await Admin(cast(Caller, Told(told))).audit_log(NOW - 5 * MARGIN_MS)
    assert [e.request_id[-1] for e in fetched[0].entries] == [4, 5, 6]
    assert (fetched[1].begins_after, fetched[1].anchor) == (44, told[1].hashes[3])
    assert fetched[0].complete_from == entries[3].time_unix_ms
    assert [one.broken() for one in fetched] == [[], [], []]


def broken_chain__should_be_noticed_when_it_is_fetched() -> None:
    told = log(0, [asked(k) for k in range(5)])
    first, second, third, *rest = told.entries
    told = replace(told, entries=(first, second, replace(third, caller="enroller/x"), *rest))
    assert told.broken() == [3]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    entries = [asked(k) for k in range(5)]
    path = tmp_path / "log.jsonl"
    assert auditlog.export([log(0, entries), log(1, entries, 7, b"a" * 32), log(2, [])], path) == 10
    return path


def exported_log__should_be_whole(exported: Path) -> None:
    found = auditlog.verify(exported)
    assert found.problems == ()
    assert found.entries == {0: 5, 1: 5, 2: 0}
    assert found.heads[2] == GENESIS.hex()


def every_field_of_every_line__should_be_vouched_for(exported: Path) -> None:
    lines = exported.read_text().splitlines()
    for number, text in enumerate(lines):
        line = json.loads(text)
        for name, value in line.items():
            changed = line | {name: value + 1 if isinstance(value, int) else "0" + str(value)[1:] + "0"}
            exported.write_text("\n".join([*lines[:number], json.dumps(changed), *lines[number + 1 :]]))
            problems = auditlog.verify(exported).problems
            assert problems, (number, name)
        exported.write_text("\n".join([*lines[:number], json.dumps(line | {"extra": 1}), *lines[number + 1 :]]))
        assert auditlog.verify(exported).problems or "begins_after" in line or "ends_with" in line


def line_that_is_gone_or_moved_or_doubled__should_be_found(exported: Path) -> None:
    lines = exported.read_text().splitlines()
    for k in range(len(lines)):
        exported.write_text("\n".join(lines[:k] + lines[k + 1 :]))
        assert auditlog.verify(exported).problems, f"without line {k + 1}"
        exported.write_text("\n".join([*lines[: k + 1], *lines[k:]]))
        assert auditlog.verify(exported).problems, f"line {k + 1} twice"
        if k and lines[k].startswith(lines[k - 1][:11]):  # how the logs of two parties are mixed says nothing
            exported.write_text("\n".join([*lines[: k - 1], lines[k], lines[k - 1], *lines[k + 1 :]]))
            assert auditlog.verify(exported).problems, f"lines {k} and {k + 1} exchanged"


def changed_line__should_be_named(exported: Path) -> None:
    lines = exported.read_text().splitlines()
    exported.write_text("\n".join(lines).replace('"subject": "s3"', '"subject": "eve"', 1))
    (problem,) = auditlog.verify(exported).problems
    assert problem.startswith("line 5 is not what party 0 wrote")


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[]", "null", '{"party": 0}', '{"party": 0, "hash": "zz"}'])
def file_that_is_no_log__should_be_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    assert auditlog.verify(path).problems
