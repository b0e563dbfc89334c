"""What the command line shows: answers on standard output, everything else on standard error."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from visard.errors import VisardError
from visard.results import Report
from visard.v1 import gateway_pb2

MATCH, NO_MATCH, ERROR = 0, 1, 2

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)


def complain(error: VisardError) -> None:
    """An error, for a person."""
    err.print(f"[red]visard:[/red] {error}", markup=True)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """A spinner on standard error while something works, where that is a terminal."""
    with err.status(what) if err.is_terminal else _nothing():
        yield


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def emit(as_json: bool, text: str, **fields: Any) -> None:
    """An answer: a line for people, or one JSON object."""
    typer.echo(json.dumps(fields) if as_json else text)


def costs(report: Report) -> dict[str, float]:
    """A report's figures for JSON."""
    return {
        "seconds": round(report.seconds, 4),
        "rounds": report.rounds,
        "sent_mb_per_party": round(report.sent_mb_per_party, 3),
        "kit_mb": round(report.kit_mb, 3),
    }


def status_table(status: gateway_pb2.GetStatusResponse) -> Table:
    """The parties, a row each."""
    table = Table(title=f"visard {status.version}: {'ready' if status.ready else 'not ready'}")
    for heading in ("party", "ready", "peers", "subjects", "references", "runs", "kits (largest plan)", "models"):
        table.add_column(heading)
    for party in status.parties:
        largest = max(party.stock, key=lambda s: s.kit_bytes, default=None)
        kits = f"{largest.available} of {largest.target}, {largest.kit_bytes / 1e6:.1f} MB each" if largest else "none"
        peers = ", ".join(f"{peer.party} {'up' if peer.connected else 'down'}" for peer in party.peers)
        ready = "yes" if party.ready else f"no: {party.reason}"
        models = ", ".join(model.name for model in party.models)
        counts = (str(party.subjects), str(party.references), str(party.runs_active))
        table.add_row(str(party.party), ready, peers, *counts, kits, models)
    return table
