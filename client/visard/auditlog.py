"""The three parties' logs of who asked for what: compared by request, written to a file, and verified. Pure but for the file.

``client.admin.audit_log`` fetches them.

A log that one party has changed, or made anew, differs from the two others; a line of a file that was changed, taken out or
moved does not fit into its chain (visard_wire.chain).
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visard_wire import chain as wire
from visard_wire.limits import PARTIES

SETTLE_MS = 10_000  # so long after one party has noted a request the others may still be about to
# so far may the times of one request lie apart: clocks differ by a minute at most, and requests last ten
MARGIN_MS = 15 * 60 * 1000

Entry = wire.Entry
GENESIS = wire.GENESIS
What = tuple[str, str, str, str, str, str, str]


@dataclass(frozen=True)
class PartyLog:
    """One party's log, or its end: what comes before the first entry, the entries, and the hash of each.

    ``complete_from`` is a time from which on nothing is missing at the beginning; ``now_unix_ms`` the party's clock when
    it was asked first.
    """

    party: int
    begins_after: int
    anchor: bytes
    complete_from: int
    now_unix_ms: int
    entries: tuple[Entry, ...] = ()
    hashes: tuple[bytes, ...] = ()

    @property
    def head(self) -> bytes:
        """The newest hash."""
        return self.hashes[-1] if self.hashes else self.anchor

    def broken(self) -> list[int]:
        """Numbers of the entries that do not fit to those before them."""
        previous, number, found = self.anchor, self.begins_after, list[int]()
        for one, told in zip(self.entries, self.hashes, strict=True):
            if one.sequence != number + 1 or one.link(previous) != told:
                found.append(one.sequence)
            previous, number = told, one.sequence
        return found


@dataclass(frozen=True)
class Account:
    """What one party says about a request: what was asked, and what came of it at best."""

    what: frozenset[What]
    outcome: str

    def __str__(self) -> str:
        asked = (" ".join(word for word in words if word) for words in sorted(self.what))
        return f"{' and '.join(asked)}: {self.outcome}"


@dataclass(frozen=True)
class LogDifference:
    """A request about which the parties do not say the same: each one's account, or None."""

    request_id: bytes
    time_unix_ms: int
    parties: tuple[Account | None, ...]


@dataclass(frozen=True)
class Comparison:
    """What the logs do not agree about; ``incomplete`` are requests that failed at some and never came to the others."""

    differences: tuple[LogDifference, ...]
    incomplete: int


def compare(logs: Sequence[PartyLog], since_unix_ms: int = 0, settle_ms: int = SETTLE_MS) -> Comparison:
    """Requests that one log has and another lacks, or tells otherwise.

    Left out is what the last seconds brought, and what is older than the youngest log's beginning. A request that one
    party refused may have failed at the others, whom the gateway then told to forget it.
    """
    begin = max(since_unix_ms, *(log.complete_from + MARGIN_MS for log in logs if log.complete_from), 0)
    found, incomplete = list[LogDifference](), 0
    views = [_by_request(log) for log in logs]
    for request_id in dict.fromkeys(key for view in views for key in view):
        told = [view.get(request_id, []) for view in views]
        times = [max(e.time_unix_ms for e in entries) for entries in told if entries]
        ages = [
            log.now_unix_ms - max(e.time_unix_ms for e in entries)
            for log, entries in zip(logs, told, strict=True)
            if entries
        ]
        if max(times) < begin or min(ages) < settle_ms:
            continue
        accounts = tuple(_account(entries) if entries else None for entries in told)
        if _agree(accounts):
            continue
        if {account.outcome for account in accounts if account} == {"failed"} and _same_question(accounts):
            incomplete += 1
        else:
            found.append(LogDifference(request_id, max(times), accounts))
    return Comparison(tuple(sorted(found, key=lambda d: d.time_unix_ms)), incomplete)


def _by_request(log: PartyLog) -> dict[bytes, list[Entry]]:
    found: dict[bytes, list[Entry]] = {}
    for one in log.entries:
        found.setdefault(one.request_id, []).append(one)
    return found


def _account(entries: Sequence[Entry]) -> Account:
    """A write may be sent more than once: what was asked must be the same, and the best outcome counts."""
    what = frozenset((e.caller, e.operation, e.model, e.gallery, e.subject, e.new_subject, e.grantee) for e in entries)
    outcomes = {e.outcome for e in entries}
    return Account(what, next(best for best in ("ok", "refused", "failed") if best in outcomes))


def _same_question(accounts: Sequence[Account | None]) -> bool:
    asked = {account.what for account in accounts if account is not None}
    return len(asked) == 1 and all(len(what) == 1 for what in asked)


def _agree(accounts: Sequence[Account | None]) -> bool:
    present = [account for account in accounts if account is not None]
    done = {account.outcome == "ok" for account in present}
    return len(present) == len(accounts) and len(done) == 1 and _same_question(accounts)


def summary(logs: Sequence[PartyLog], since_unix_ms: int = 0) -> list[tuple[str, str, str, int]]:
    """Who asked for what with which status, and how often: the most that any party tells."""
    counted = Counter[tuple[str, str, str]]()
    for log in logs:
        recent = (e for e in log.entries if e.time_unix_ms >= since_unix_ms)
        counted |= Counter((e.caller, e.operation, e.code) for e in recent)
    return [(*key, count) for key, count in sorted(counted.items())]


def export(logs: Iterable[PartyLog], path: Path) -> int:
    """Write the logs as lines of JSON; how many entries. Raises OSError."""
    lines = [line for log in logs for line in _lines(log)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return sum("sequence" in line for line in lines)


def _lines(log: PartyLog) -> list[dict[str, Any]]:
    """The beginning of a log, its entries, and its end."""
    rows = [_line(log.party, e, h) for e, h in zip(log.entries, log.hashes, strict=True)]
    first = {"party": log.party, "begins_after": log.begins_after, "hash": log.anchor.hex()}
    last = {"party": log.party, "ends_with": log.begins_after + len(rows), "hash": log.head.hex()}
    return [first, *rows, last]


def _line(party: int, one: Entry, link: bytes) -> dict[str, Any]:
    fields = asdict(one) | {"request_id": one.request_id.hex(), "outcome": one.outcome, "hash": link.hex()}
    return {"party": party, **fields}


@dataclass(frozen=True)
class Verified:
    """What a file of exported logs says: entries and newest hash of each party, and the lines that do not fit."""

    entries: dict[int, int]
    heads: dict[int, str]
    problems: tuple[str, ...]


@dataclass
class _Chain:
    """How far a party's lines have been followed."""

    number: int
    previous: bytes
    entries: int = 0
    ended: bool = False


def verify(path: Path) -> Verified:
    """Follow the chains in a file again; raises OSError. A line that was changed, taken out or moved is named."""
    chains: dict[int, _Chain] = {}
    problems: list[str] = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            problem = _follow(chains, json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            problem = "is no line of an exported log"
        if problem:
            problems.append(f"line {number} {problem}")
    problems += [f"the log of party {party} has no end" for party, chain in chains.items() if not chain.ended]
    problems += [f"the log of party {party} is missing" for party in range(PARTIES) if party not in chains]
    counts = {party: chain.entries for party, chain in sorted(chains.items())}
    return Verified(counts, {party: chains[party].previous.hex() for party in counts}, tuple(problems))


def _follow(chains: dict[int, _Chain], line: dict[str, Any]) -> str:
    """One line further; what is wrong with it."""
    party, told = line["party"], bytes.fromhex(line["hash"])
    if "begins_after" in line:
        begun = party in chains or (line["begins_after"] == 0 and told != GENESIS)
        chains[party] = _Chain(line["begins_after"], told)
        return "is not how a log begins" if begun else ""
    chain = chains.get(party)
    if chain is None:
        chains[party] = _Chain(line.get("sequence", 0), told)
        return f"comes before the log of party {party} begins"
    if "ends_with" in line:
        fits = not chain.ended and (line["ends_with"], told) == (chain.number, chain.previous)
        chain.ended = True
        return "" if fits else "is not where the log ends"
    return _fit(chain, party, line, told)


def _fit(chain: _Chain, party: int, line: dict[str, Any], told: bytes) -> str:
    fields = {key: value for key, value in line.items() if key not in ("party", "outcome", "hash")}
    one = Entry(**fields | {"request_id": bytes.fromhex(line["request_id"])})
    expected = chain.ended, chain.number + 1, chain.previous
    chain.number, chain.previous, chain.entries = one.sequence, told, chain.entries + 1
    if expected[:2] != (False, one.sequence):
        return f"should be entry {expected[1]} of party {party}"
    changed = one.link(expected[2]) != told or line != _line(party, one, told)
    return f"is not what party {party} wrote, or does not follow the entry before it" if changed else ""
