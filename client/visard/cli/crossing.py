"""``visard gallery recipients``, ``export`` and ``import``: a gallery goes to another deployment."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

import visard
from visard.calls import DEFAULT_MODEL
from visard.cli.bars import every
from visard.cli.output import emit, err
from visard.cli.session import DEFAULT_HOME, Home, Json, Model, with_client
from visard.galleries import ExportedGallery, ImportedGallery

Name = Annotated[str, typer.Argument(help="Name of the gallery.")]
Patience = Annotated[float, typer.Option("--deadline", min=0.001, max=600, help="Seconds to wait for each page.")]
_DEADLINE = 120.0


def recipients(
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, for the administrator over there.")],
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Write the keys to which another deployment seals a gallery for this one; not secret, and good until the time it says."""
    keys = with_client(home, lambda c: c.admin.recipients(), role="admin")
    output.write_bytes(keys)
    ends = min(int(key["notAfterUnixMs"]) for key in json.loads(keys)["recipients"])
    until = datetime.fromtimestamp(ends / 1000, UTC).isoformat(timespec="minutes")
    text = f"{output}: the keys of this deployment's parties; what is sealed to them can be imported until {until} at the latest"
    emit(as_json, text, file=str(output), until=until)


def export(
    name: Name,
    to: Annotated[str, typer.Option(help="What all three operators here call the other deployment.")],
    keys: Annotated[Path, typer.Option("--recipients", help="What visard gallery recipients has written there.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, for the administrator over there.")],
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    deadline: Patience = _DEADLINE,
    as_json: Json = False,
) -> None:
    """Write a gallery to a file that the parties of another deployment alone can read; again: goes on where it stopped."""
    terms = keys.read_bytes()

    async def work(c: visard.Client) -> ExportedGallery:
        with counted("exported") as told:
            return await c.admin.export_gallery(to, terms, output, told)

    done = with_client(home, work, model=model, gallery=name, deadline=deadline, role="admin")
    emit(
        as_json, f"{output}: {done.references} references of gallery {name}, for {to}", file=str(output), **asdict(done)
    )


def import_gallery(
    name: Name,
    file: Annotated[Path, typer.Argument(help="What visard gallery export has written over there.")],
    source: Annotated[str, typer.Option("--from", help="What all three operators here call the other deployment.")],
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    deadline: Patience = _DEADLINE,
    as_json: Json = False,
) -> None:
    """Store what another deployment has exported in a gallery that is there; the same again stores nothing twice."""

    async def work(c: visard.Client) -> ImportedGallery:
        with counted("gone through") as told:
            return await c.admin.import_gallery(source, file, told)

    done = with_client(home, work, model=model, gallery=name, deadline=deadline, role="admin")
    rest = done.references - done.stored
    text = f"{done.stored} references stored in gallery {name}, {rest} were here already, are over, or were erased here"
    emit(as_json, text, gallery=name, **asdict(done))


@contextmanager
def counted(done: str) -> Iterator[Callable[[int], None]]:
    """What hears how many references are done, and shows it: on a terminal at once, else now and then."""
    show = every(lambda count: err.print(f"{count} references {done}"))
    if not err.is_terminal:
        yield show
        return
    with err.status("0 references") as status:
        yield lambda count: status.update(f"{count} references {done}")
