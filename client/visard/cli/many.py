"""Commands about many photos: enrol --from, identify DIR, identify --all-faces. Each returns the exit status."""

import asyncio
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

import visard
from visard.bulk import BulkEnrolment, BulkItem, Refusal, SearchedFace, judge, photos_of, read_source
from visard.bulk.journal import beside
from visard.cli import naming
from visard.cli.bars import counting
from visard.cli.drawing import WRITTEN, draw
from visard.cli.hints import told
from visard.cli.output import ERROR, MATCH, NO_MATCH, complain, costs, emit, progress
from visard.cli.session import with_client
from visard.results import Identification

DEADLINE = 240.0  # seconds of one request of many, which carries up to 16 photos
_SHOWN = 10  # refusals on the screen, where no report is asked for
_REPORT = ("outcome", "subject", "file", "kind", "why")


def enrol(
    source: Path,
    *,
    home: Path,
    model: str,
    gallery: str,
    deadline: float,
    journal: Path | None,
    report: Path | None,
    dry_run: bool,
    at_once: int,
    note: str,
    ttl: int,
    wishes: Mapping[str, bool],
    as_json: bool,
) -> int:
    """Enrol what a folder or a list names, and tell what became of it; ``note`` and ``ttl`` of photos that have none."""
    if report is not None and (report.is_dir() or not report.absolute().parent.is_dir()):
        raise typer.BadParameter("the name of a file, in a directory", param_hint="--report")
    items = [BulkItem(one.subject, one.file, one.note or note, one.ttl_seconds or ttl) for one in read_source(source)]
    with counting() as show:
        if dry_run:
            done = asyncio.run(judge(items, largest=wishes["largest"], force=wishes["force"], told=show))
        else:

            async def work(client: visard.Client) -> BulkEnrolment:
                return await client.bulk.enrol(
                    items, journal=journal or beside(source), at_once=at_once, told=show, **wishes
                )

            done = with_client(home, work, model=model, gallery=gallery, deadline=deadline)
    if report is not None:
        _write(report, done)
    else:
        _show([*done.refused, *done.left])
    unfinished = done.total - done.enrolled - done.already - len(done.refused)
    verb = "would be enrolled" if dry_run else "enrolled"
    text = (
        f"{done.enrolled} of {done.total} photos {verb}, {done.already} were before, {len(done.refused)} refused"
        f"{f', {unfinished} left: the same command again goes on' if unfinished else ''}; {done.seconds:.1f} s"
    )
    counts = {"total": done.total, "enrolled": done.enrolled, "already": done.already, "refused": len(done.refused)}
    emit(as_json, text, **counts, left=unfinished, dry_run=dry_run, seconds=round(done.seconds, 3))
    return ERROR if unfinished else NO_MATCH if done.refused else MATCH


def _write(report: Path, done: BulkEnrolment) -> None:
    with report.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file)
        rows.writerow(_REPORT)
        for outcome, found in (("refused", done.refused), ("left", done.left)):
            rows.writerows((outcome, one.subject, one.file, one.kind, one.why) for one in found)


def _show(found: list[Refusal]) -> None:
    for one in found[:_SHOWN]:
        complain(f"{_name(one.file)}: {one.why}")
    if len(found) > _SHOWN:
        complain(f"and {len(found) - _SHOWN} more: --report FILE names all")


def identify_folder(
    folder: Path, *, home: Path, model: str, gallery: str, deadline: float, wishes: Mapping[str, Any], as_json: bool
) -> int:
    """A line for each photo of a folder, as its answer comes."""
    files = photos_of(folder)

    async def work(client: visard.Client) -> int:
        status = MATCH
        async for found in client.bulk.identify(files, **wishes):
            if found.answer is None:
                status = ERROR
            elif not found.answer.known:
                status = max(status, NO_MATCH)
            if as_json:
                typer.echo(json.dumps({"file": _name(found.file), **_fields(found.answer, found.error)}))
            else:
                typer.echo(f"{_name(found.file)}\t{_words(found.answer, found.error)}")
        return status

    return with_client(home, work, model=model, gallery=gallery, deadline=deadline)


def identify_faces(
    photo: Path,
    output: Path | None,
    *,
    home: Path,
    model: str,
    gallery: str,
    deadline: float,
    wishes: Mapping[str, Any],
    as_json: bool,
) -> int:
    """A line for each face of a photo, from left to right; and the photo with all of them framed and named."""
    if output is not None and (output.suffix.lower() not in WRITTEN or not output.absolute().parent.is_dir()):
        raise typer.BadParameter(f"a name that ends in {', '.join(WRITTEN)}, in a directory", param_hint="--output")
    with progress("identifying"):
        found = with_client(
            home, lambda c: c.bulk.faces(photo, **wishes), model=model, gallery=gallery, deadline=deadline
        )
    if output is not None:
        draw(photo, found, output)
    if as_json:
        faces = [{"box": list(_box(one)), **_fields(one.answer, one.error)} for one in found]
        typer.echo(json.dumps({"file": _name(photo), "faces": faces, "output": str(output) if output else None}))
    for one in () if as_json else found:
        x, y, width, height = _box(one)
        typer.echo(f"{width}x{height}+{x}+{y}\t{_words(one.answer, one.error)}")
    if all(one.answer is None for one in found):
        return ERROR
    return MATCH if any(one.answer is not None and one.answer.known for one in found) else NO_MATCH


def _name(file: Path) -> str:
    """A file's name as it can be shown, whatever bytes it is made of."""
    return str(file).encode(errors="backslashreplace").decode()


def _box(face: SearchedFace) -> tuple[int, int, int, int]:
    x, y, width, height = map(round, face.box)
    return x, y, width, height


def _words(answer: Identification | None, error: visard.VisardError | None) -> str:
    if answer is None:
        return f"not asked: {told(error)}" if error is not None else ""
    return naming.words(answer)


def _fields(answer: Identification | None, error: visard.VisardError | None) -> dict[str, Any]:
    if answer is None:
        return {"error": type(error).__name__, "why": told(error) if error is not None else ""}
    return {**naming.fields(answer), **costs(answer.report)}
