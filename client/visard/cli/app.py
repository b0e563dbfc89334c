"""The commands."""

import dataclasses
import json
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from visard import certs as certificates
from visard import owner
from visard.cli import admin, models, operate
from visard.cli.demo import demo
from visard.cli.evaluate import evaluate
from visard.cli.hints import told
from visard.cli.output import MATCH, NO_MATCH, complain, costs, emit, err, out, progress
from visard.cli.session import DEFAULT_HOME, Deadline, Home, Json, Largest, Model, Point, with_client
from visard.cli.train import train
from visard.client import DEFAULT_DEADLINE, DEFAULT_MODEL, Client
from visard.cluster import BASE_PORT, Cluster
from visard.errors import VisardError
from visard.results import Enrolment, Verification
from visard.supervision import Supervisor

_LOOK_SECONDS = 0.5
_PUBLISH_SECONDS = 60.0

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
certs_app = typer.Typer(no_args_is_help=True, help="Certificates and sealing keys.")
app.add_typer(models.app, name="model")
app.add_typer(certs_app, name="certs")
app.add_typer(admin.app, name="admin")
app.add_typer(operate.app)
certs_app.add_typer(operate.certs_app)
app.command()(demo)
app.command()(evaluate)
app.command()(train)
app.command()(models.run)


@app.command()
def up(
    home: Home = DEFAULT_HOME,
    port: Annotated[int, typer.Option(min=1024, max=65000, help="Port of the gateway; the others follow.")] = BASE_PORT,
    model: Annotated[bool, typer.Option(help="Publish the face network if nothing is published.")] = True,
    store: Annotated[
        str, typer.Option(envvar="VISARD_STORE", help="sqlite, or mongodb://HOST/NAME{party}: a database a party.")
    ] = "sqlite",
    ready_file: Annotated[Path | None, typer.Option(help="File to make when everything is ready.")] = None,
) -> None:
    """Start gateway, parties and dealer on this machine; Ctrl-C stops them."""
    cluster = Cluster(home, port, store=store)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with cluster.locked():
        cluster.prepare()
        try:
            with progress("starting five services"):
                cluster.start()
            state = "ready" if not model or publish_default(home) else "running, but not ready"
            err.print(
                f"{state}: gateway at {cluster.address('gateway')}, certificates in {home / 'certs'}. Ctrl-C stops."
            )
            if ready_file is not None:
                ready_file.touch()
            supervisor = Supervisor(cluster, complain)
            while not stopped.wait(_LOOK_SECONDS):
                supervisor.look()
        finally:
            with progress("stopping"):
                cluster.stop()


def publish_default(home: Path) -> bool:
    """Publish the face network under the default name unless something is published; whether the services are ready.

    Where they are not, an operator is told why, and the services stay, so that he can mend them.
    """
    publishing = owner.publish

    async def work(client: Client) -> list[str]:
        if reasons := [f"party {p.party}: {p.reason}" for p in (await client.status()).parties if not p.ready]:
            return reasons
        if not await client.models():
            await publishing.publish(client, DEFAULT_MODEL, publishing.compile_face_model())
        return []

    try:
        with progress("publishing the face network"):
            reasons = with_client(home, work, role="owner", deadline=_PUBLISH_SECONDS)
    except VisardError as error:
        reasons = [told(error)]
    for reason in reasons:
        complain(reason)
    return not reasons


@app.command()
def enrol(
    name: str,
    photos: Annotated[list[Path], typer.Argument(help="One reference is stored for each.")],
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    largest: Largest = False,
    replace: Annotated[bool, typer.Option(help="Erase the subject's earlier references in the same step.")] = False,
    unique: Annotated[bool, typer.Option(help="Refuse somebody who is enrolled under another name.")] = False,
    ttl: Annotated[int, typer.Option(min=0, help="Seconds until the references are erased; 0 for never.")] = 0,
    note: Annotated[str, typer.Option(help="Kept with the references, not secret.")] = "",
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Store a face under a name."""

    async def work(c: Client) -> Enrolment:
        return await c.enrol(
            name, photos, largest=largest, replace=replace, unique=unique, ttl_seconds=ttl, metadata=note.encode()
        )

    with progress(f"enrolling {name}"):
        done = with_client(home, work, model=model, deadline=deadline)
    text = f"enrolled {name}: {len(done.references)} references, {done.report.seconds:.2f} s"
    emit(as_json, text, subject=name, references=list(done.references), **costs(done.report))


@app.command()
def verify(
    name: str,
    photo: Path,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    operating_point: Point = "",
    largest: Largest = False,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Does the photo show NAME? Exit status 0 for yes, 1 for no."""
    with progress(f"verifying {name}"):
        answer = with_client(
            home,
            lambda c: c.verify(name, photo, operating_point=operating_point, largest=largest),
            model=model,
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
    photo: Path,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    operating_point: Point = "",
    largest: Largest = False,
    deadline: Deadline = DEFAULT_DEADLINE,
    as_json: Json = False,
) -> None:
    """Who is it? Exit status 1 when it is nobody enrolled."""
    with progress("identifying"):
        answer = with_client(
            home,
            lambda c: c.identify(photo, operating_point=operating_point, largest=largest),
            model=model,
            deadline=deadline,
        )
    emit(as_json, answer.subject or "nobody enrolled", subject=answer.subject, **costs(answer.report))
    raise typer.Exit(MATCH if answer.subject else NO_MATCH)


@app.command()
def delete(
    name: str,
    reference: Annotated[list[str] | None, typer.Option(help="Only this reference; may be repeated.")] = None,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Forget a subject and all its references, or some of them."""
    deleted = with_client(home, lambda c: c.delete(name, reference or ()), model=model)
    emit(as_json, f"deleted {name}: {deleted} references", subject=name, references=deleted)


@app.command()
def rename(
    name: str, new_name: str, home: Home = DEFAULT_HOME, model: Model = DEFAULT_MODEL, as_json: Json = False
) -> None:
    """Give a subject another name."""
    moved = with_client(home, lambda c: c.rename(name, new_name), model=model)
    emit(as_json, f"renamed {name} to {new_name}: {moved} references", subject=new_name, references=moved)


@app.command()
def export(name: str, home: Home = DEFAULT_HOME, model: Model = DEFAULT_MODEL, as_json: Json = False) -> None:
    """Everything that is kept about a subject, as JSON. No biometric plaintext exists, so there is none in it."""
    rows = with_client(home, lambda c: c.references(name), model=model)
    references = [dataclasses.asdict(row) | _noted(row.metadata) for row in rows]
    note = "Each reference also has 128 numbers that exist only as shares at three parties; nobody can export them."
    found = {"subject": name, "model": model, "references": references, "biometric_data": note}
    typer.echo(json.dumps(found, indent=None if as_json else 1, ensure_ascii=as_json))


def _noted(metadata: bytes) -> dict[str, str]:
    """What a caller has attached, as text where it is text, and in hex."""
    try:
        return {"note": metadata.decode(), "metadata": metadata.hex()}
    except UnicodeDecodeError:
        return {"metadata": metadata.hex()}


@app.command("list")
def list_subjects(home: Home = DEFAULT_HOME, model: Model = DEFAULT_MODEL, as_json: Json = False) -> None:
    """Who is enrolled."""
    found = with_client(home, lambda c: c.subjects(), model=model)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(s) for s in found]))
    for subject in () if as_json else found:
        typer.echo(f"{subject.subject}\t{subject.references}")


@certs_app.command()
def init(
    directory: Path,
    host: Annotated[list[str] | None, typer.Option(help="Names and addresses of the services.")] = None,
) -> None:
    """Make an authority, and a certificate for each role."""
    certificates.init(directory, host or ("localhost", "127.0.0.1"))
    out.print(f"certificates in {directory}; move each party's to its operator, and keep ca.key safe")


def _show(answer: Verification, as_json: bool) -> None:
    text = f"{'match' if answer.match else 'no match'} ({answer.report.seconds:.2f} s)"
    emit(as_json, text, match=answer.match, **costs(answer.report))
    raise typer.Exit(MATCH if answer.match else NO_MATCH)
