"""``visard demo``: the demonstration, shown."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from visard import owner
from visard.cli.output import ERROR, MATCH, out, progress
from visard.cli.session import Json

app = typer.Typer()


@app.command()
def demo(
    photos: Annotated[
        list[Path] | None, typer.Argument(help="A photo, another of the same person, a stranger's.")
    ] = None,
    home: Annotated[Path | None, typer.Option(envvar="VISARD_HOME", help="Use running services.")] = None,
    picture: Annotated[Path, typer.Option(help="Where to draw photo, chip and shares.")] = Path("demo.png"),
    as_json: Json = False,
) -> None:
    """Show it: enrol a face, verify another photo and a stranger's, identify, delete."""
    result, steps = owner.demo.play(photos or [], home, picture, progress)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result)))
    else:
        show(result, steps, picture)
    raise typer.Exit(MATCH if result.as_expected else ERROR)


def show(result: "owner.demo.DemoResult", steps: "owner.demo.Steps", picture: Path) -> None:
    """What happened, as a table, and what the picture is."""
    table = Table(title="Three parties, none of which saw a face")
    for heading in ("step", "answer", "seconds", "rounds", "MB sent a party", "kit MB"):
        table.add_column(heading, justify="left" if heading in ("step", "answer") else "right")
    for step, answer, report in steps:
        figures = (
            f"{report.seconds:.2f}",
            str(report.rounds),
            f"{report.sent_mb_per_party:.1f}",
            f"{report.kit_mb:.1f}",
        )
        table.add_row(step, answer, *figures)
    out.print(table)
    equal = "the same" if result.decisions_equal_float else "DIFFERENT"
    out.print(
        f"The float network in plaintext gives {equal} answers. A warm verification took {result.verify_seconds:.2f} s."
    )
    out.print(f"{picture}: the photo, the face as it was cut out, and the three shares that left this program.")
