"""What commands have in common: where the services are, the usual options, and a connected client."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from visard_wire.limits import DEFAULT_GALLERY

import visard
from visard.calls import DEFAULT_DEADLINE, DEFAULT_MODEL
from visard.cli.output import complain
from visard.connection import Connection

T = TypeVar("T")

Home = Annotated[Path, typer.Option(envvar="VISARD_HOME", help="Directory of visard up: certificates, addresses.")]
Model = Annotated[str, typer.Option(help="Name of a published model.")]
Gallery = Annotated[str, typer.Option(envvar="VISARD_GALLERY", help="Name of the gallery that subjects are in.")]
Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
Largest = Annotated[bool, typer.Option("--largest", help="Of several faces take the largest.")]
Force = Annotated[bool, typer.Option("--force", help="Take photos although their quality is poor.")]
Deadline = Annotated[float, typer.Option(min=0.001, max=600, help="Seconds to wait for an answer.")]
Point = Annotated[
    str,
    typer.Option(
        "--operating-point",
        envvar="VISARD_OPERATING_POINT",
        help="Named threshold; empty for the model's default, or what a search's gallery asks for.",
    ),
]

DEFAULT_HOME = Path(".visard")


def with_client(
    home: Path,
    work: "Callable[[visard.Client], Awaitable[T]]",
    *,
    model: str = DEFAULT_MODEL,
    gallery: str = DEFAULT_GALLERY,
    deadline: float = DEFAULT_DEADLINE,
    role: str = "client",
) -> T:
    """Run work with a connected client; Ctrl-C while it writes leaves open whether it was written, and says so."""

    async def body() -> T:
        connection = Connection.from_home(home, role)
        async with visard.Client(connection, model=model, gallery=gallery, deadline=deadline) as client:
            return await work(client)

    try:
        return asyncio.run(body())
    except KeyboardInterrupt:
        complain("interrupted: what was asked may have been done all the same")
        raise
