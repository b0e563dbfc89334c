"""Commands about people: enrol, verify, identify, compare, delete, list."""

from pathlib import Path
from typing import Annotated, Any

import typer

from visard.cli.options import DEFAULT_HOME, AsJson, Deadline, Home, Largest, Model, Point, connect
from visard.cli.output import Output, costs, summary
from visard.client import DEFAULT_DEADLINE, DEFAULT_MODEL
from visard.results import Report

NO_MATCH = 1

Name = Annotated[str, typer.Argument(metavar="NAME", help="A person: letters, digits and . _ @ -")]
Photo = Annotated[Path, typer.Argument(metavar="PHOTO", help="JPEG, PNG or PGM with one face.")]
Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="JPEG, PNG or PGM, one face in each.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (enrol, verify, identify, compare, delete):
        app.command()(command)
    app.command("list")(list_subjects)


def enrol(
    name: Name,
    photos: Photos,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    deadline: Deadline = DEFAULT_DEADLINE,
    largest: Largest = False,
    as_json: AsJson = False,
) -> None:
    """Store a person's face, as shares."""
    output = Output(as_json)
    with output.progress(f"Enrolling {name}"), connect(home, model=model, deadline=deadline) as client:
        result = client.enrol(name, photos, largest=largest)
    text = f"{name}: {len(result.references)} references stored ({summary(result.report)})"
    output.answer(text, {"subject": name, "references": list(result.references), **costs(result.report)})


def verify(
    name: Name,
    photo: Photo,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    point: Point = "",
    deadline: Deadline = DEFAULT_DEADLINE,
    largest: Largest = False,
    as_json: AsJson = False,
) -> None:
    """Is this person in the photo? Exit status 0 if so, 1 if not."""
    output = Output(as_json)
    with output.progress(f"Verifying {name}"), connect(home, model=model, deadline=deadline) as client:
        result = client.verify(name, photo, operating_point=point, largest=largest)
    _decide(output, result.match, {"match": result.match, "subject": name}, result.report)


def identify(
    photo: Photo,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    point: Point = "",
    deadline: Deadline = DEFAULT_DEADLINE,
    largest: Largest = False,
    as_json: AsJson = False,
) -> None:
    """Who is in the photo? Exit status 1 if nobody who is enrolled."""
    output = Output(as_json)
    with output.progress("Identifying"), connect(home, model=model, deadline=deadline) as client:
        result = client.identify(photo, operating_point=point, largest=largest)
    found = result.subject is not None
    _decide(output, found, {"match": found, "subject": result.subject}, result.report, result.subject or "")


def compare(
    photo: Annotated[Path, typer.Argument(metavar="A", help="JPEG, PNG or PGM with one face.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    point: Point = "",
    deadline: Deadline = DEFAULT_DEADLINE,
    largest: Largest = False,
    as_json: AsJson = False,
) -> None:
    """Do two photos show the same person? Nothing is stored. Exit status 0 if so, 1 if not."""
    output = Output(as_json)
    with output.progress("Comparing"), connect(home, model=model, deadline=deadline) as client:
        result = client.compare(photo, other, operating_point=point, largest=largest)
    _decide(output, result.match, {"match": result.match}, result.report)


def delete(
    name: Name,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: AsJson = False,
) -> None:
    """Forget a person."""
    output = Output(as_json)
    with output.progress(f"Deleting {name}"), connect(home, model=model, deadline=deadline) as client:
        deleted = client.delete(name)
    output.answer(f"{name}: {deleted} references deleted", {"subject": name, "references_deleted": deleted})


def list_subjects(
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: AsJson = False,
) -> None:
    """Who is enrolled, one a line, with the number of references."""
    output = Output(as_json)
    with output.progress("Listing"), connect(home, model=model, deadline=deadline) as client:
        found = client.subjects()
    text = "\n".join(f"{subject.subject}\t{subject.references}" for subject in found)
    fields = {"subjects": [{"subject": s.subject, "references": s.references} for s in found]}
    if found or as_json:
        output.answer(text, fields)
    else:
        output.note("nobody is enrolled")


def _decide(output: Output, match: bool, fields: dict[str, Any], report: Report, who: str = "") -> None:
    """Print a decision and end with its exit status."""
    verdict = (f"match: {who}" if who else "match") if match else "no match"
    output.answer(f"{verdict} ({summary(report)})", {**fields, **costs(report)})
    raise typer.Exit(0 if match else NO_MATCH)
