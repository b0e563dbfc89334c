"""Commands about galleries: which there are, and, for administrators, who may do what in each."""

import dataclasses
import json
from typing import Annotated

import typer
from visard_wire.limits import LOCK_AFTER, MAX_LOCK_AFTER

from visard.cli.output import emit
from visard.cli.session import DEFAULT_HOME, Home, Json, with_client
from visard.results import Gallery

app = typer.Typer(no_args_is_help=True, help="Galleries: who may enrol, verify and search where.")

_CALLERS = "A caller as in its certificate, enroller/NAME; * stands for any letters. May be given several times."
Some = list[str] | None
Name = Annotated[str, typer.Argument(help="1 to 64 of a-z 0-9 . _ -")]
Enrol = Annotated[Some, typer.Option(help=f"Who may enrol, list, rename and delete. {_CALLERS}")]
Verify = Annotated[Some, typer.Option(help=f"Who may verify. {_CALLERS}")]
Search = Annotated[Some, typer.Option(help=f"Who may identify. {_CALLERS}")]
Lock = Annotated[
    int,
    typer.Option(
        min=0, max=MAX_LOCK_AFTER, help="Failed verifications in a row that lock a subject there; 0 for none."
    ),
]
Locks = Annotated[bool, typer.Option("--lock", help=f"The same as --lock-after {LOCK_AFTER}.")]
Admin = Annotated[bool, typer.Option("--admin", help="Ask as an administrator: all galleries, and all their rules.")]


@app.command("list")
def list_galleries(home: Home = DEFAULT_HOME, as_admin: Admin = False, as_json: Json = False) -> None:
    """List the galleries in which you may do something."""
    found = with_client(home, lambda c: c.galleries.list(), role="admin" if as_admin else "client")
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(gallery) for gallery in found]))
    for gallery in () if as_json else found:
        typer.echo(f"{gallery.name}\t{', '.join(_kinds(gallery)) or 'nobody may anything'}")


@app.command()
def show(name: Name, home: Home = DEFAULT_HOME, as_admin: Admin = False, as_json: Json = False) -> None:
    """Show who may do what in a gallery, as far as you may know."""
    gallery = with_client(home, lambda c: c.galleries.describe(name), role="admin" if as_admin else "client")
    rules = {may: ", ".join(getattr(gallery, may)) or "nobody" for may in ("enrol", "verify", "search")}
    told = "\n".join(f"{may}: {callers}" for may, callers in rules.items())
    locks = f"\nlocks after {gallery.lock_after} failures in a row" if gallery.lock_after else ""
    emit(as_json, f"{gallery.references} references\n{told}{locks}", **dataclasses.asdict(gallery))


@app.command()
def create(
    name: Name,
    enrol: Enrol = None,
    verify: Verify = None,
    search: Search = None,
    lock_after: Lock = 0,
    lock: Locks = False,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Make a gallery; whoever is not named can do nothing in it, and does not hear of it."""
    rules, after = _rules(enrol, verify, search), lock_after or LOCK_AFTER * lock
    with_client(home, lambda c: c.galleries.create(name, lock_after=after, **rules), role="admin")
    emit(as_json, f"gallery {name} is made", gallery=name, **rules, lock_after=after)


@app.command()
def change(
    name: Name,
    enrol: Enrol = None,
    verify: Verify = None,
    search: Search = None,
    lock_after: Lock = 0,
    lock: Locks = False,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Say anew who may do what in a gallery: what is left out, nobody may; and without --lock it locks no more."""
    rules, after = _rules(enrol, verify, search), lock_after or LOCK_AFTER * lock
    with_client(home, lambda c: c.galleries.change(name, lock_after=after, **rules), role="admin")
    emit(as_json, f"gallery {name} has new rules", gallery=name, **rules, lock_after=after)


@app.command()
def delete(name: Name, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Remove a gallery that has no references, and every right in it."""
    with_client(home, lambda c: c.galleries.delete(name), role="admin")
    emit(as_json, f"gallery {name} is removed", gallery=name)


def _rules(enrol: Some, verify: Some, search: Some) -> dict[str, list[str]]:
    return {"enrol": enrol or [], "verify": verify or [], "search": search or []}


def _kinds(gallery: Gallery) -> list[str]:
    return [may for may in ("enrol", "verify", "search") if getattr(gallery, may)]
