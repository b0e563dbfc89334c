"""``visard evaluate``: how well a network tells people apart."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import visard
from visard import owner
from visard.calls import DEFAULT_DEADLINE, DEFAULT_MODEL
from visard.cli.output import err, out
from visard.cli.session import DEFAULT_HOME, Home
from visard.connection import Connection
from visard.rates import percent

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(help="Images: DIR/name/name_0001.jpg.")]


@contextmanager
def bar(what: str, total: int) -> "Iterator[owner.evaluation.embed.Advance]":
    """A progress bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


@app.command()
def evaluate(
    pairs: Annotated[Path, typer.Argument(help="List of pairs as LFW has them.")],
    directory: Folder,
    output: Annotated[Path, typer.Option("--output", "-o", help="Writes FILE.json and FILE.png.")] = Path("evaluation"),
    network: Annotated[
        str,
        typer.Option(help="FILE.py:FUNCTION, FILE.safetensors of visard train, or face-small (dlib's); SFace if none."),
    ] = "",
    weights: Annotated[Path | None, typer.Option(help="FILE.safetensors with the module's state.")] = None,
    shape: Annotated[str, typer.Option("--input", help="CxHxW, unless the module states it.")] = "",
    point: Annotated[list[str] | None, typer.Option(help="NAME=DISTANCE; one is named default.")] = None,
    points: Annotated[Path | None, typer.Option(help="Report of an earlier evaluation, for its calibration.")] = None,
    calibration: Annotated[Path | None, typer.Option(help="As for visard model publish.")] = None,
    face: Annotated[
        Literal["largest", "central", "whole"],
        typer.Option(help="Of each image; whole: as it is. LFW's images are named after the central one."),
    ] = "largest",
    secure: Annotated[int, typer.Option(min=0, help="Ask running services about so many pairs.")] = 0,
    model: Annotated[str, typer.Option(help="Name the network is published under, for --secure.")] = DEFAULT_MODEL,
    operating_point: Annotated[str, typer.Option(help="Named threshold for --secure.")] = "default",
    q: Annotated[int, typer.Option(help="Field of the twin, 2^q - 1: 31 or 61.")] = 31,
    attack: Annotated[
        bool, typer.Option("--attack", help="Make an image that matches as many people as possible; minutes.")
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Measure how well a network tells people apart: in float, in fixed point, and secure on a sample."""
    if q not in (31, 61):
        raise typer.BadParameter("31 or 61", param_hint="--q")
    bring, evaluating = owner.bring, owner.evaluation
    found = bring.completed(bring.load(network, weights, decide=False), shape, point or [], points)
    if operating_point not in found.points:
        raise typer.BadParameter(" or ".join(found.points) or "--point default=", param_hint="--operating-point")
    connection = Connection.from_home(home) if secure else None  # before the long work
    owner.threads.single()
    compiled = bring.compile_network(found, q=q, calibration=calibration, opens=found.judges)
    evaluation = evaluating.run.Evaluation(evaluating.pairs.read_pairs(pairs, directory), found, compiled, bar, face)
    answer = evaluation.report()
    if attack:
        answer.attack = evaluation.attack(found.module)
    file = output.with_suffix(".json")
    file.write_text(json.dumps(evaluating.report.as_json(answer), indent=1) + "\n")  # kept, whatever the services say
    curves = {name: figures.curve for name, figures in answer.figures.items()}
    evaluating.plots.draw(curves, answer.impostors, dict(found.points), output.with_suffix(".png"))
    if connection is not None:
        answer.secure = _ask(evaluation, connection, model, secure, operating_point)
        file.write_text(json.dumps(evaluating.report.as_json(answer), indent=1) + "\n")
    _show(answer)
    if answer.attack is not None:
        _show_attack(answer.attack)
    err.print(f"wrote {file} and {output.with_suffix('.png')}")


def _show_attack(attack: "owner.evaluation.attack.Attack") -> None:
    table = Table(
        title=f"one image against {attack.test_people} people it was not made for ({attack.train_people} it was)"
    )
    for heading in ("operating point", "distance", "matches of others", "of its own"):
        table.add_column(heading)
    for name, found in attack.covered.items():
        table.add_row(name, f"{found.distance:g}", percent(found.test), percent(found.train))
    out.print(table)


def _ask(
    evaluation: "owner.evaluation.run.Evaluation", connection: Connection, model: str, count: int, point: str
) -> "owner.evaluation.report.Secure":
    async def work() -> "owner.evaluation.report.Secure":
        async with visard.Client(connection, model=model, deadline=DEFAULT_DEADLINE) as client:
            return await evaluation.secure(client, count, point)

    return asyncio.run(work())


def _show(report: "owner.evaluation.report.Report") -> None:
    table = Table(title=f"{report.genuine} genuine and {report.impostors} impostor pairs, {report.images} images")
    rates = next(iter(report.figures.values())).tar_at_far
    for heading in ("", "accuracy, 10 folds", "EER", *(f"TAR at FAR {percent(float(rate))}" for rate in rates)):
        table.add_column(heading)
    for name, figures in report.figures.items():
        table.add_row(name, *map(str, (figures.accuracy, figures.equal_error_rate, *figures.tar_at_far.values())))
    out.print(table)
    out.print(f"in brackets 95 % intervals; images without a usable face: {len(report.failures)}")
    out.print(_rates(report))
    if report.calibration is not None:
        found = report.calibration
        out.print(f"over {found.comparisons} comparisons of {found.people} people:")
        for name, limit in found.thresholds.items():
            out.print(f"  {name}: {limit:.4f}")
        for name, rate in found.rates.items():
            out.print(f"  false matches at {name}: {percent(rate)}")
    if report.secure is not None:
        s = report.secure
        out.print(
            f"secure, {s.pairs} pairs at {s.operating_point}: accuracy {s.accuracy}; {s.differ_from_float} decisions differ "
            f"from float, {s.differ_from_twin} from the twin; {s.seconds:.2f} s a pair"
        )


def _rates(report: "owner.evaluation.report.Report") -> Table:
    total = report.genuine + report.impostors
    table = Table(title="at each operating point")
    for heading in ("", "", "accuracy", "false matches", "false non-matches", "float and twin differ"):
        table.add_column(heading)
    for point, found in report.points.items():
        for name, rates in found.items():
            figures = map(str, (rates.accuracy, rates.false_match_rate, rates.false_non_match_rate))
            table.add_row(point, name, *figures, f"{report.decisions_differ[point]} of {total}")
    return table
