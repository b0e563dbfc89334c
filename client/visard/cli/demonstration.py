"""``visard demo``: the whole path on three photos, with a picture and a table."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.table import Table

from visard import demo as demonstration
from visard.capture import capture
from visard.cli.options import DEFAULT_HOME, AsJson, Home, Largest
from visard.cli.output import Output
from visard.cluster import Cluster
from visard.errors import InvalidRequest
from visard.hosting import free_base_port, is_running, publish_face_model

DEFAULT_PHOTOS = tuple(Path(".photos") / name for name in ("obama.jpg", "obama2.jpg", "biden.jpg"))
NOT_AS_HOPED = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="[PHOTO PHOTO STRANGER]", help="Default: what make demo fetches.")
    ] = None,
    home: Home = DEFAULT_HOME,
    png: Annotated[Path, typer.Option("--png", help="Where to write the picture.")] = Path("demo.png"),
    largest: Largest = False,
    as_json: AsJson = False,
) -> None:
    """Show what happens: shares, enrolment, a match, a stranger, what it costs. Starts services if none run."""
    output = Output(as_json)
    paths = _three(photos)
    first = capture(paths[0], largest=largest)
    with _services(home, output) as where:
        Image.fromarray(demonstration.picture(first, asyncio.run(demonstration.field_bits(where)))).save(png)
        output.note(f"{png}: the photo, the chip that is made of it, and the three shares that leave this machine")
        found = asyncio.run(demonstration.run(where, paths, largest=largest, tell=output.note))
    if not as_json:
        output.out.print(_table(found))
    output.answer(_conclusion(found), found.fields())
    raise typer.Exit(0 if found.as_hoped else NOT_AS_HOPED)


def _three(photos: list[Path] | None) -> list[Path]:
    paths = list(photos or DEFAULT_PHOTOS)
    if len(paths) != 3:
        raise InvalidRequest("the demonstration takes three photos: a person, the same person again, a stranger")
    if not photos and not all(path.exists() for path in paths):
        raise InvalidRequest("no photos in .photos: run make demo, which fetches them, or name three of your own")
    return paths


@contextmanager
def _services(home: Path, output: Output) -> Iterator[Path]:
    """The home of running services: the given one, or a temporary one with services of its own."""
    if asyncio.run(is_running(home)):
        output.note(f"using the services of {home}")
        yield home
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as for Ctrl-C
    with tempfile.TemporaryDirectory(prefix="visard-demo-") as directory:
        cluster = Cluster(Path(directory), base_port=free_base_port())
        try:
            with output.progress("Starting a gateway, a dealer and three parties"):
                cluster.prepare()
                cluster.start()
            with output.progress("Publishing the face network as shares"):
                publish_face_model(cluster.home)
            yield cluster.home
        finally:
            cluster.stop()


def _table(found: demonstration.Findings) -> Table:
    table = Table("step", "answer", "seconds", "rounds", "MB sent per party", "MB of kits", title="visard demo")
    for step, answer, report in found.reports:
        costs = (f"{report.seconds:.2f}", str(report.rounds), f"{report.sent_mb_per_party:.1f}", f"{report.kit_mb:.1f}")
        table.add_row(step, answer, *costs)
    table.add_row("delete, then verify", "not found" if found.forgotten else "still there")
    for name, distance in found.distances.items():
        table.add_row(f"float network, {name}", f"distance {distance:.3f}")
    return table


def _conclusion(found: demonstration.Findings) -> str:
    equal = "the same decisions as" if found.decisions_equal_float else "NOT the decisions of"
    return f"{found.verify_seconds:.2f} s from file to answer, warm; {equal} the float network on the same chips"
