"""Commands for those who run the services: status, health; and upload, for other tools."""

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

import visard
from visard import health as probe
from visard.cli.output import out, status_table
from visard.cli.session import DEFAULT_HOME, Force, Home, Json, Largest
from visard.connection import Connection, authority
from visard.errors import VisardError
from visard.results import Status

app = typer.Typer()

WATCH_SECONDS = 1.0
_DIGITS = 12  # of a plan's digest, as in the metrics
_STATUS_DEADLINE = 10.0


@app.command()
def status(
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew each second, until Ctrl-C.")] = False,
) -> None:
    """Show how the services are. Exit status 1 when they are not all ready."""
    if watch:
        with suppress(KeyboardInterrupt):
            asyncio.run(_watch(Connection.from_home(home)))
        raise typer.Exit(0)
    answer = asyncio.run(_ask(Connection.from_home(home)))
    if as_json:
        parties = [
            {"party": p.party, "ready": p.ready, "reason": p.reason, "subjects": p.subjects} for p in answer.parties
        ]
        typer.echo(json.dumps({"ready": answer.ready, "version": answer.version, "parties": parties}))
    else:
        out.print(status_table(answer))
    raise typer.Exit(0 if answer.ready else 1)


@app.command()
def health(
    address: Annotated[
        str, typer.Argument(help="host:port; without --certs or --home a port without TLS (health_listen).")
    ] = "",
    certs: Annotated[
        Path | None, typer.Option(help="Directory with ca.pem or roots.toml, and the certificate of --role.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="Directory of visard up, for its certificates; and its gateway if no address.")
    ] = None,
    role: Annotated[str, typer.Option(help="Whose certificate to show.")] = "client",
    of: Annotated[
        Literal["gateway", "dealer", "party/0", "party/1", "party/2"],
        typer.Option(help="Who is asked; it matters where each operator has an authority of its own."),
    ] = "gateway",
    seconds: Annotated[float, typer.Option(min=0.01, max=60, help="How long to wait for an answer.")] = probe.SECONDS,
) -> None:
    """Does a service serve, the gateway or one that is named? Exit status 0 for yes, 1 for no, 2 for no answer."""
    if certs is not None and home is not None:
        raise typer.BadParameter("not with --home", param_hint="--certs")
    if not address and certs is not None:
        raise typer.BadParameter("host:port is needed with --certs", param_hint="ADDRESS")
    pem = (authority(certs), certs / f"{role}.pem", certs / f"{role}.key") if certs else None
    if home is not None or not address:
        found = Connection.from_home(home or Path(os.environ.get("VISARD_HOME", DEFAULT_HOME)), role)
        found.read()  # names the file that is missing
        address, pem = address or found.gateway, (found.ca, found.cert, found.key)
    answer = probe.serving(address, pem, seconds, of)
    typer.echo("serving" if answer else "not serving")
    raise typer.Exit(0 if answer else 1)


@app.command()
def upload(
    operation: Annotated[Literal["enrol", "verify", "identify", "compare"], typer.Argument()],
    photos: Annotated[list[Path], typer.Argument(help="As many as the operation takes.")],
    subject: Annotated[str, typer.Option(help="Whom to enrol or to verify.")] = "",
    largest: Largest = False,
    force: Force = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print the messages of a request as JSON, for grpcurl -d @. Valid for five minutes, once; nobody can open its answer."""

    async def write() -> None:
        async with visard.Client(Connection.from_home(home), deadline=_STATUS_DEADLINE) as client:
            messages = await client.upload(operation, photos, subject=subject, largest=largest, force=force)
            async for message in messages:
                typer.echo(message)

    asyncio.run(write())


async def _ask(connection: Connection) -> Status:
    async with visard.Client(connection, deadline=_STATUS_DEADLINE) as client:
        return await client.status()


async def _watch(connection: Connection) -> None:
    """One connection, a fresh picture each second; a gateway that is away is shown as such, and waited for."""
    async with visard.Client(connection, deadline=WATCH_SECONDS * 3) as client:
        with Live(Text("asking"), console=out, auto_refresh=False) as live:
            while True:
                live.update(await _picture(client), refresh=True)
                await asyncio.sleep(WATCH_SECONDS)


async def _picture(client: "visard.Client") -> RenderableType:
    try:
        answer = await client.status()
    except VisardError as error:
        return Text(f"{error}", style="red")
    return Group(status_table(answer), stock_table(answer))


def stock_table(status: Status) -> Table:
    """Every plan's stock of kits at the three parties: what is there, and what is wanted."""
    table = Table(title="kits in stock", title_justify="left")
    for heading in ("plan", "MB each", *(f"party {party.party}" for party in status.parties)):
        table.add_column(heading)
    plans = {stock.plan: stock.kit_bytes for party in status.parties for stock in party.stock}
    for plan, size in sorted(plans.items(), key=lambda item: -item[1]):
        levels = [next((s for s in party.stock if s.plan == plan), None) for party in status.parties]
        cells = [f"{level.available} of {level.target}" if level else "" for level in levels]
        table.add_row(plan[:_DIGITS], f"{size / 1e6:.2f}", *cells)
    return table
