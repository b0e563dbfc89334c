"""Options that several commands have, and the connection that they mean."""

from pathlib import Path
from typing import Annotated

import typer

from visard.client import DEFAULT_DEADLINE, DEFAULT_MODEL, Connection
from visard.sync import SyncClient

Home = Annotated[
    Path, typer.Option("--home", envvar="VISARD_HOME", help="Directory of the services, or of client.toml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on one line.")]
Largest = Annotated[bool, typer.Option("--largest", help="Of several faces in a photo take the largest.")]
Model = Annotated[str, typer.Option("--model", help="Name of a published model.")]
Point = Annotated[str, typer.Option("--operating-point", help="How strict; empty for the model's default.")]
Deadline = Annotated[float, typer.Option("--deadline", min=0.1, max=600, help="Seconds to wait for an answer.")]

DEFAULT_HOME = Path(".visard")


def connect(
    home: Path, *, model: str = DEFAULT_MODEL, deadline: float = DEFAULT_DEADLINE, role: str = "client"
) -> SyncClient:
    """A client of the services under a directory; raises InvalidRequest when there is no client.toml."""
    return SyncClient(Connection.from_home(home, role), model=model, deadline=deadline)
