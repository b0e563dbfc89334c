"""``visard migrate`` and ``visard model status``: a new model without calling everybody in."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from visard_wire.limits import DEFAULT_GALLERY

import visard
from visard.calls import DEFAULT_DEADLINE, DEFAULT_MODEL
from visard.cli.output import MATCH, NO_MATCH, costs, emit, out, progress
from visard.cli.session import DEFAULT_HOME, Deadline, Force, Gallery, Home, Json, Largest, Model, Point, with_client
from visard.migration import Enrolled, Migration, MigrationStatus

app = typer.Typer()
_SHOWN = 20  # names of those who are left


@app.command()
def migrate(
    name: str,
    photo: Path,
    to: Annotated[str, typer.Option(help="Name of the published model that the subject is moved to.")],
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    operating_point: Point = "",
    keep: Annotated[bool, typer.Option("--keep", help="The references of the old model stay.")] = False,
    largest: Largest = False,
    force: Force = False,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Move a subject to another model, if a photo shows it by the old one (--model). Exit status 1 when it does not.

    One request and one upload. If it is no match nothing is stored. The old model's references are erased in the same step.
    """

    async def work(c: visard.Client) -> Migration:
        return await c.migrate(
            name, photo, to, operating_point=operating_point, keep=keep, largest=largest, force=force
        )

    with progress(f"moving {name} to {to}"):
        done = with_client(home, work, model=model, gallery=gallery, deadline=deadline)
    seconds = f"{done.report.seconds:.2f} s"
    text = f"no match: nothing was stored ({seconds})"
    if done.migrated:
        left = "kept" if keep else f"{done.erased} references erased"
        text = f"moved {name} to {to}; with {model}: {left} ({seconds})"
    fields: dict[str, Any] = {"subject": name, "model": to, "migrated": done.migrated, "reference": done.reference}
    fields |= {"erased": done.erased, "operating_point": done.operating_point}
    emit(as_json, text, **fields, **costs(done.report))
    raise typer.Exit(MATCH if done.migrated else NO_MATCH)


def status(
    to: Annotated[str, typer.Option(help="How far all are on their way from --model to this one.")] = "",
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    as_json: Json = False,
) -> None:
    """Say how many are enrolled with each model in a gallery; with --to how many are still to be moved, and who.

    Exit status 0 when nobody is left, 1 when somebody is.
    """
    if not to:
        found = with_client(home, _enrolled, gallery=gallery)
        if as_json:
            typer.echo(json.dumps({"gallery": gallery, "models": [asdict(one) for one in found]}))
        for one in () if as_json else found:
            typer.echo(f"{one.model}\t{one.subjects}\t{one.references}")
        return
    far = with_client(home, lambda c: c.migration(to), model=model, gallery=gallery)
    if as_json:
        typer.echo(json.dumps(asdict(far)))
    else:
        _show(far)
    raise typer.Exit(NO_MATCH if far.left else MATCH)


async def _enrolled(client: "visard.Client") -> list[Enrolled]:
    """Of every model that matches, in order of name."""
    names = sorted(info.name for info in await client.models.list() if not info.opens_output)
    found = []
    for client.model in names:
        found.append(Enrolled.of(client.model, await client.subjects()))
    return found


def _show(far: MigrationStatus) -> None:
    for one in (far.old, far.new):
        out.print(f"{one.model}: {one.subjects} subjects, {one.references} references")
    out.print(f"with both: {far.both}")
    more = f" and {len(far.left) - _SHOWN} more" if len(far.left) > _SHOWN else ""
    names = f": {', '.join(far.left[:_SHOWN])}{more}" if far.left else ""
    out.print(f"left to move to {far.new.model}: {len(far.left)}{names}")
