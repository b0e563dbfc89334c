"""``visard registrar``: the service that signs keys which browsers have made, and its book."""

import asyncio
import dataclasses
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from visard.cli.output import emit, out
from visard.cli.session import DEFAULT_HOME, Json
from visard.errors import InvalidRequest
from visard.invitations import full
from visard.registrar import authority
from visard.registrar.book import Book, Entry
from visard.registrar.config import Folder, Settings

app = typer.Typer(no_args_is_help=True, help="Sign keys that browsers have made: for whoever runs the authority.")

Directory = Annotated[Path, typer.Argument(help="The registrar's directory.")]
DEFAULT = DEFAULT_HOME / "registrar"


@app.command()
def init(
    page: Annotated[str, typer.Option(help="Where invitations lead, as in https://door.example/")],
    directory: Directory = DEFAULT,
    certs: Annotated[
        Path, typer.Option("--authority", help="The authority's directory: ca.pem, and ca.key, which stays there.")
    ] = DEFAULT_HOME / "certs",
    host: Annotated[list[str] | None, typer.Option(help="Names and addresses of the registrar.")] = None,
    listen: Annotated[str, typer.Option(help="host:port to listen on.")] = "127.0.0.1:7450",
    origin: Annotated[list[str] | None, typer.Option(help="Whose pages may ask; otherwise the page's.")] = None,
    days: Annotated[int, typer.Option(help="For how long a certificate is valid.")] = 7,
) -> None:
    """Make a registrar: an authority below yours, for verifiers and enrollers alone, and a certificate for its port."""
    own = urlsplit(page)
    settings = Settings(listen, page, tuple(origin or [f"{own.scheme}://{own.netloc}"]), days)
    authority.make(directory, certs, settings, host or ("localhost", "127.0.0.1"))
    out.print(f"{directory}: visard registrar serve {directory}; ca.key there signs for callers: keep it safe")


@app.command()
def serve(directory: Directory = DEFAULT) -> None:
    """Serve until told to stop (SIGTERM)."""
    from visard.registrar import server  # noqa: PLC0415 -- an extra's

    asyncio.run(server.serve(Folder(directory)))


@app.command("list")
def list_(directory: Directory = DEFAULT, as_json: Json = False) -> None:
    """List who is invited, and which certificates have not ended."""
    book, now = _book(directory), _now()
    invited, valid = book.open(now), book.valid(now)
    if as_json:
        found = {"invited": invited, "certificates": valid}
        typer.echo(json.dumps({name: [dataclasses.asdict(one) for one in entries] for name, entries in found.items()}))
    for one in () if as_json else invited:
        typer.echo(f"{one.role}\tinvited\tuntil {_time(one)}")
    for one in () if as_json else valid:
        typer.echo(f"{one.role}\t{one.serial}\tuntil {_time(one)}{', not renewed' if one.revoked else ''}")


@app.command()
def revoke(
    role: Annotated[str, typer.Argument(help="Of a key that is lost, as in enroller/ada; client/ada is the same.")],
    directory: Directory = DEFAULT,
    as_json: Json = False,
) -> None:
    """Renew no key that this role and name have now; certificates end by themselves, within days."""
    kind, _, name = role.partition("/")
    whose = full(kind, name)
    count, invitations = _book(directory).revoke(whose, _now())
    if not count and not invitations:
        raise InvalidRequest(f"{whose} has no key here that is valid, and no invitation: see visard registrar list")
    emit(as_json, f"{whose}: {count} certificates are not renewed", role=whose, certificates=count)


def _book(directory: Path) -> Book:
    folder = Folder(directory)
    folder.read()
    return Book(folder.book)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _time(entry: Entry) -> str:
    return f"{datetime.fromtimestamp(entry.until_unix_ms / 1000, UTC):%Y-%m-%dT%H:%M}Z"
