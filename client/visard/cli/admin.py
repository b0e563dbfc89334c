"""Commands of administrators: audit, refresh, recover."""

from typing import Annotated

import typer

from visard import admin as administration
from visard.cli.output import MATCH, NO_MATCH, confirm, emit, out, progress
from visard.cli.session import DEFAULT_HOME, Home, Json, with_client

app = typer.Typer(no_args_is_help=True, help="Keep the parties' stores in order.")

Patience = Annotated[float, typer.Option("--deadline", min=1, max=86400, help="Seconds to wait.")]


@app.command()
def audit(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Do all three parties hold the same references? Exit status 1 when they do not."""
    with progress("auditing"):
        found = with_client(home, administration.audit, role="admin")
    text = f"{found.counts[0]} references, the same at all parties" if found.clean else "the parties differ"
    rows = [{"reference": d.reference_id, "parties": d.parties} for d in found.differences]
    emit(as_json, text, clean=found.clean, counts=found.counts, steps=found.steps, differences=rows)
    for difference in () if as_json else found.differences:
        out.print(f"{difference.reference_id}: {', '.join(map(_held, difference.parties))}")
    raise typer.Exit(MATCH if found.clean else NO_MATCH)


def _held(row: tuple[str, str, int] | None) -> str:
    return f"{row[0]} ({row[1]}, version {row[2]})" if row is not None else "missing"


@app.command()
def refresh(home: Home = DEFAULT_HOME, deadline: Patience = 600, as_json: Json = False) -> None:
    """Give every stored reference and model new shares: what was stolen before is worth nothing with what is stolen later."""
    with progress("refreshing"):
        renewed = with_client(home, lambda c: c.refresh(), deadline=deadline, role="admin")
    emit(as_json, f"renewed {renewed} references and all models", references=renewed)


@app.command()
def recover(
    party: Annotated[int, typer.Argument(min=0, max=2, help="The party that has lost its store.")],
    home: Home = DEFAULT_HOME,
    deadline: Patience = 600,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase one party's store and write it anew from the two others, which learn nothing by it."""
    if not yes:
        confirm(f"Erase the store of party {party} and write it anew?")
    with progress(f"restoring party {party}"):
        restored = with_client(home, lambda c: c.recover(party), deadline=deadline, role="admin")
    emit(as_json, f"party {party} holds {restored} references again", party=party, references=restored)
