"""Commands of callers: enrol, verify, compare, identify, delete, rename, export, list."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from visard_wire.limits import DEFAULT_GALLERY

import visard
from visard.calls import DEFAULT_DEADLINE, DEFAULT_MODEL
from visard.cli import naming
from visard.cli.output import MATCH, NO_MATCH, costs, emit, progress
from visard.cli.session import DEFAULT_HOME, Deadline, Force, Gallery, Home, Json, Largest, Model, Point, with_client
from visard.results import Enrolment, Identification, Verification

app = typer.Typer()


@app.command()
def enrol(
    name: Annotated[str | None, typer.Argument(help="Whose photos; none with --from.")] = None,
    photos: Annotated[list[Path] | None, typer.Argument(help="One reference is stored for each.")] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A folder with a folder a subject, or a .csv or .jsonl: subject, file, note, ttl."),
    ] = None,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    largest: Largest = False,
    force: Force = False,
    replace: Annotated[bool, typer.Option(help="Erase the subject's earlier references in the same step.")] = False,
    unique: Annotated[
        bool, typer.Option(help="Somebody who may be enrolled under another name waits for visard admin review.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="With --unique: is refused.")] = False,
    ttl: Annotated[int, typer.Option(min=0, help="Seconds until the references are erased; 0 for never.")] = 0,
    note: Annotated[str, typer.Option(help="Kept with the references, not secret.")] = "",
    journal: Annotated[
        Path | None, typer.Option(help="With --from: what was sent, to go on from; by default beside the source.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="With --from: a CSV file of what was refused, and why.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --from: judge the photos, and send nothing.")
    ] = False,
    at_once: Annotated[int, typer.Option(min=0, help="With --from: requests at a time; 0 chooses.")] = 0,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Store a face under a name, as shares at three parties; with --from all that a folder or a list names.

    With --from the same command again goes on where it stopped, also after it was killed, and enrols nothing twice. Exit status 1
    when a photo was refused, 2 when some are left.
    """
    if (strict and not unique) or (unique and not strict and (replace or source is not None)):
        raise typer.BadParameter("goes with --unique, which needs it with --from and --replace", param_hint="--strict")
    if source is not None:
        if name is not None:
            raise typer.BadParameter("either --from, or a name and photos", param_hint="--from")
        from visard.cli import many  # noqa: PLC0415 -- it loads libraries for pictures

        status = many.enrol(
            source,
            home=home,
            model=model,
            gallery=gallery,
            deadline=many.DEADLINE if deadline == DEFAULT_DEADLINE else deadline,
            journal=journal,
            report=report,
            dry_run=dry_run,
            at_once=at_once,
            note=note,
            ttl=ttl,
            wishes={"largest": largest, "force": force, "replace": replace, "unique": unique},
            as_json=as_json,
        )
        raise typer.Exit(status)
    if name is None or not photos:
        raise typer.BadParameter("a name and at least one photo, or --from", param_hint="NAME PHOTOS...")
    if journal is not None or report is not None or dry_run or at_once:
        raise typer.BadParameter("--journal, --report, --dry-run and --at-once go with it", param_hint="--from")
    subject, files = name, photos

    async def work(c: visard.Client) -> Enrolment:
        return await c.enrol(
            subject,
            files,
            largest=largest,
            replace=replace,
            unique=strict,
            review=unique and not strict,
            ttl_seconds=ttl,
            metadata=note.encode(),
            force=force,
        )

    with progress(f"enrolling {name}"):
        done = with_client(home, work, model=model, gallery=gallery, deadline=deadline)
    text = f"enrolled {name}: {len(done.references)} references, {done.report.seconds:.2f} s"
    fields: dict[str, Any] = {"subject": name, "references": list(done.references)}
    if done.waiting:
        others = ", ".join(sorted({one.subject for one in done.candidates}) + ["more"] * done.more)
        text = f"{name} waits for visard admin review: it may be {others}"
        fields |= {"waiting": True, "candidates": naming.listed(done.candidates), "more": done.more}
    emit(as_json, text, **fields, **costs(done.report))


@app.command()
def verify(
    name: str,
    photo: Path,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    operating_point: Point = "",
    largest: Largest = False,
    force: Force = False,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Does the photo show NAME? Exit status 0 for yes, 1 for no."""
    with progress(f"verifying {name}"):
        answer = with_client(
            home,
            lambda c: c.verify(name, photo, operating_point=operating_point, largest=largest, force=force),
            model=model,
            gallery=gallery,
            deadline=deadline,
        )
    _show(answer, as_json)


@app.command()
def compare(
    photo: Path,
    other: Path,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    operating_point: Point = "",
    largest: Largest = False,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Do two photos show the same person? Nothing is stored."""
    with progress("comparing"):
        answer = with_client(
            home,
            lambda c: c.compare(photo, other, operating_point=operating_point, largest=largest),
            model=model,
            deadline=deadline,
        )
    _show(answer, as_json)


@app.command()
def identify(
    photo: Annotated[Path, typer.Argument(help="A photo; or a folder, for a line for each photo in it.")],
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    operating_point: Point = "",
    largest: Largest = False,
    force: Force = False,
    allow_large_gallery: Annotated[
        bool,
        typer.Option("--allow-large-gallery", help="Search also where more are enrolled than any point carries."),
    ] = False,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Search also among those who are enrolled with this model; may be repeated."),
    ] = None,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="The nearest reference alone: a tournament, for small galleries.")
    ] = False,
    all_faces: Annotated[bool, typer.Option("--all-faces", help="Search for each face of the photo.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="With --all-faces: the photo with its faces framed and named.")
    ] = None,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Who is it? The threshold follows from how many are enrolled. Exit status 1 when it is nobody enrolled.

    Of a folder: 0 when every photo shows somebody enrolled, 2 when one could not be asked about. With --all-faces: 0 when one
    face is somebody enrolled. With --json a folder gets one object a line.
    """
    if (all_faces and (largest or photo.is_dir())) or (output is not None and not all_faces):
        raise typer.BadParameter("of one photo, without --largest; -o goes with it", param_hint="--all-faces")
    if also and (all_faces or nearest or photo.is_dir()):
        raise typer.BadParameter("of one photo, without --all-faces and --nearest", param_hint="--also")
    wishes: dict[str, Any] = {"operating_point": operating_point, "force": force, "nearest": nearest}
    wishes["allow_large_gallery"] = allow_large_gallery
    asked: dict[str, Any] = {"home": home, "model": model, "gallery": gallery, "deadline": deadline, "as_json": as_json}
    if all_faces or photo.is_dir():
        from visard.cli import many  # noqa: PLC0415 -- it loads libraries for pictures

        if all_faces:
            raise typer.Exit(many.identify_faces(photo, output, wishes=wishes, **asked))
        raise typer.Exit(many.identify_folder(photo, wishes={**wishes, "largest": largest}, **asked))

    async def work(c: visard.Client) -> Identification:
        return await c.identify(photo, models=(model, *also) if also else (), largest=largest, **wishes)

    with progress("identifying"):
        answer = with_client(home, work, model=model, gallery=gallery, deadline=deadline)
    emit(as_json, naming.words(answer), **naming.fields(answer), **costs(answer.report))
    raise typer.Exit(MATCH if answer.known else NO_MATCH)


@app.command()
def delete(
    name: str,
    reference: Annotated[list[str] | None, typer.Option(help="Only this reference; may be repeated.")] = None,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    as_json: Json = False,
) -> None:
    """Forget a subject and all its references, or some of them."""
    deleted = with_client(home, lambda c: c.delete(name, reference or ()), model=model, gallery=gallery)
    emit(as_json, f"deleted {name}: {deleted} references", subject=name, references=deleted)


@app.command()
def rename(
    name: str,
    new_name: str,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    as_json: Json = False,
) -> None:
    """Give a subject another name."""
    moved = with_client(home, lambda c: c.rename(name, new_name), model=model, gallery=gallery)
    emit(as_json, f"renamed {name} to {new_name}: {moved} references", subject=new_name, references=moved)


@app.command()
def export(
    name: str,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    as_json: Json = False,
) -> None:
    """Print everything that is kept about a subject, as JSON. No biometric plaintext exists, so there is none in it."""
    rows = with_client(home, lambda c: c.references(name), model=model, gallery=gallery)
    references = [dataclasses.asdict(row) | _noted(row.metadata) for row in rows]
    note = "Each reference also has 128 numbers that exist only as shares at three parties; nobody can export them."
    found = {"subject": name, "model": model, "gallery": gallery, "references": references, "biometric_data": note}
    typer.echo(json.dumps(found, indent=None if as_json else 1, ensure_ascii=as_json))


def _noted(metadata: bytes) -> dict[str, str]:
    """What a caller has attached, as text where it is text, and in hex."""
    try:
        return {"note": metadata.decode(), "metadata": metadata.hex()}
    except UnicodeDecodeError:
        return {"metadata": metadata.hex()}


@app.command("list")
def list_subjects(
    home: Home = DEFAULT_HOME, model: Model = DEFAULT_MODEL, gallery: Gallery = DEFAULT_GALLERY, as_json: Json = False
) -> None:
    """List who is enrolled."""
    found = with_client(home, lambda c: c.subjects(), model=model, gallery=gallery)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(s) for s in found]))
    for subject in () if as_json else found:
        typer.echo(f"{subject.subject}\t{subject.references}")


def _show(answer: Verification, as_json: bool) -> None:
    text = f"{'match' if answer.match else 'no match'} ({answer.report.seconds:.2f} s)"
    emit(as_json, text, match=answer.match, operating_point=answer.operating_point, **costs(answer.report))
    raise typer.Exit(MATCH if answer.match else NO_MATCH)
