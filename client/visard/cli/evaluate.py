"""``visard evaluate``: how well a network tells people apart."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import visard
from visard import owner
from visard.calls import DEFAULT_DEADLINE, DEFAULT_MODEL
from visard.cli import evaluation as shown
from visard.cli.output import err
from visard.cli.session import DEFAULT_HOME, Home, Json
from visard.connection import Connection

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
    centre: Annotated[
        Path | None, typer.Option(help="As for visard model publish; of other people than DIR's.")
    ] = None,
    face: Annotated[
        Literal["largest", "central", "whole"],
        typer.Option(help="Of each image; whole: as it is. LFW's images are named after the central one."),
    ] = "largest",
    gallery: Annotated[int, typer.Option(min=0, help="People in a gallery that is searched; 0: half of them.")] = 0,
    group: Annotated[Path | None, typer.Option("--groups", help="CSV: person or image, group.")] = None,
    second: Annotated[Path | None, typer.Option(help="DIR/name/*: photos of another place, for a margin.")] = None,
    second_pairs: Annotated[Path | None, typer.Option(help="List of pairs: only its photos of --second.")] = None,
    twin: Annotated[int, typer.Option(min=0, help="Pairs that the fixed-point twin judges too.")] = 200,
    secure: Annotated[int, typer.Option(min=0, help="Ask running services about so many of these.")] = 0,
    model: Annotated[str, typer.Option(help="Name the network is published under.")] = DEFAULT_MODEL,
    operating_point: Annotated[str, typer.Option(help="Named threshold for --secure.")] = "default",
    q: Annotated[int, typer.Option(help="Field of the twin, 2^q - 1: 31 or 61.")] = 31,
    attack: Annotated[
        bool, typer.Option("--attack", help="Make images that match as many people as possible; minutes.")
    ] = False,
    attack_steps: Annotated[int, typer.Option(min=1, help="Of each descent.")] = 200,
    attack_rounds: Annotated[int, typer.Option(min=1, help="Descents a point, four images each.")] = 3,
    attack_people: Annotated[int, typer.Option(min=0, help="People the attacker has photos of; 0: half.")] = 0,
    as_json: Json = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Measure how well a network tells people apart: in float, in fixed point, and secure on a sample."""
    if q not in (31, 61):
        raise typer.BadParameter("31 or 61", param_hint="--q")
    bring, evaluating, further = owner.bring, owner.evaluation, owner.evaluation.further
    loaded = bring.load(bring.source_of(model, network), weights, decide=False)
    listed = evaluating.pairs.read_pairs(pairs, directory)  # all that may be refused, before the long work
    other = _second(second, second_pairs)
    if centre is not None:
        loaded = owner.centre.centred(loaded, centre, [*listed.images, *(other[0] if other is not None else ())])
    found = bring.completed(loaded, shape, point or [], points)
    if operating_point not in found.points:
        raise typer.BadParameter(" or ".join(found.points) or "--point default=", param_hint="--operating-point")
    if gallery:
        evaluating.identification.size_of(gallery, len(set(listed.people)))
    named = evaluating.groups.of_names(listed.people)
    if group is not None:
        named = evaluating.groups.read_groups(group, listed.images, listed.people, directory)
    connection = Connection.from_home(home) if secure else None
    owner.threads.single()
    compiled = bring.compile_network(found, q=q, calibration=calibration, opens=found.judges)
    evaluation = evaluating.run.Evaluation(listed, found, compiled, bar, face, twin=max(twin, secure))
    answer = evaluation.report(network or model)
    if not found.judges:
        further.calibrate(evaluation, answer, other)
        if gallery or further.searchable(evaluation):
            further.identify(evaluation, answer, gallery)
    if any(named):
        further.differentials(evaluation, answer, named)
    file = output.with_suffix(".json")
    _write(answer, file)  # kept, whatever comes
    curves = {name: figures.curve for name, figures in answer.figures.items()}
    evaluating.plots.draw(curves, answer.impostors, dict(found.points), evaluation.found, output.with_suffix(".png"))
    if attack:
        budget = evaluating.attack.Budget(attack_steps, attack_rounds, attack_people)
        answer.attack = further.attacked(evaluation, answer, budget)
        _write(answer, file)
    if connection is not None:
        answer.secure = _ask(evaluation, connection, model, secure, operating_point)
        _write(answer, file)
    err.print(f"wrote {file} and {output.with_suffix('.png')}")
    if not as_json:
        shown.show(answer)
        return
    if answer.attack is not None:
        shown.warn(answer.attack)
    typer.echo(json.dumps(evaluating.report.as_line(answer)))


def _second(directory: Path | None, pairs: Path | None) -> "tuple[list[Path], list[str]] | None":
    """Images and people of the second set."""
    if directory is None:
        if pairs is not None:
            raise typer.BadParameter("--second DIR is needed as well", param_hint="--second-pairs")
        return None
    if pairs is None:
        return owner.evaluation.pairs.read_folders(directory)
    found = owner.evaluation.pairs.read_pairs(pairs, directory)
    return found.images, found.people


def _write(report: "owner.evaluation.report.Report", file: Path) -> None:
    file.write_text(json.dumps(owner.evaluation.report.as_json(report), indent=1) + "\n")


def _ask(
    evaluation: "owner.evaluation.run.Evaluation", connection: Connection, model: str, count: int, point: str
) -> "owner.evaluation.report.Secure":
    async def work() -> "owner.evaluation.report.Secure":
        async with visard.Client(connection, model=model, deadline=DEFAULT_DEADLINE) as client:
            return await evaluation.secure(client, count, point)

    return asyncio.run(work())
