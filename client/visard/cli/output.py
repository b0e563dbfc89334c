"""What the command line shows: answers on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from visard.results import Report, Status, WorkerState

MATCH, NO_MATCH, ERROR, INTERRUPTED = 0, 1, 2, 130
_WIDE = 10_000  # columns of what is no terminal: nothing is broken or cut there


def _console(*, stderr: bool) -> Console:
    """A console that shows texts as they are: names and files may hold brackets and colons."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


out = _console(stderr=False)
err = _console(stderr=True)


def complain(text: str) -> None:
    """An error, for a person: one line on standard error."""
    err.print("visard:", style="red", end=" ")
    err.print(" ".join(text.split()))


def confirm(question: str) -> None:
    """Ask on standard error; raises typer.Abort unless the answer is yes."""
    err.print(f"{question} [y/N]", end=" ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise typer.Abort


@contextmanager
def progress(what: str) -> Iterator[None]:
    """A spinner on standard error while something works, where that is a terminal."""
    with err.status(escape(what)) if err.is_terminal else _nothing():
        yield


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def emit(as_json: bool, text: str, **fields: Any) -> None:
    """An answer: a line for people, or one JSON object."""
    typer.echo(json.dumps(fields) if as_json else text)


def costs(report: Report) -> dict[str, float]:
    """A report's figures for JSON, rounded: seconds, rounds, megabytes."""
    return {
        "seconds": round(report.seconds, 4),
        "rounds": report.rounds,
        "sent_mb_per_party": round(report.sent_mb_per_party, 3),
        "kit_mb": round(report.kit_mb, 3),
    }


def status_table(status: Status) -> Table:
    """The services as a table: the parties, a row each, and in the title whether all are ready."""
    spread = any(party.workers for party in status.parties)
    table = Table(title=f"visard {status.version}: {'ready' if status.ready else 'not ready'}")
    for heading in (
        "party",
        "ready",
        "peers",
        "subjects",
        "references",
        "runs",
        "kits (largest plan)",
        "audits",
        "models",
        *(["workers"] if spread else []),
    ):
        table.add_column(heading)
    for party in status.parties:
        largest = max(party.stock, key=lambda s: s.kit_bytes, default=None)
        kits = f"{largest.available} of {largest.target}, {largest.kit_bytes / 1e6:.1f} MB each" if largest else "none"
        peers = ", ".join(f"{peer.party} {'up' if peer.connected else 'down'}" for peer in party.peers)
        ready = "yes" if party.ready else f"no: {party.reason}"
        models = ", ".join(model.name for model in party.models)
        tried = party.audits
        audits = f"{tried.passed} passed, {tried.failed} failed" if tried.one_in else "off"
        counts = (str(party.subjects), str(party.references), str(party.runs_active))
        workers = [", ".join(map(_worker, party.workers)) or "none"] if spread else []
        table.add_row(str(party.party), ready, peers, *counts, kits, audits, models, *workers)
    return table


def _worker(state: WorkerState) -> str:
    return state.reason or f"{state.references} references"
