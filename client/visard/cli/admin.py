"""Commands of administrators: audit, refresh, recover; rights, and the log of who asked for what."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from visard_wire.limits import DEFAULT_GALLERY

from visard import auditlog, invitations
from visard.calls import DEFAULT_MODEL
from visard.cli.output import MATCH, NO_MATCH, confirm, emit, out, progress
from visard.cli.session import DEFAULT_HOME, Gallery, Home, Json, Model, with_client

app = typer.Typer(no_args_is_help=True, help="Keep the parties' stores in order.")

Patience = Annotated[float, typer.Option("--deadline", min=1, max=86400, help="Seconds to wait.")]


@app.command()
def audit(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Do all three parties hold the same references and rights? Exit status 1 when they do not."""
    with progress("auditing"):
        found = with_client(home, lambda c: c.admin.audit(), role="admin")
    text = f"{found.counts[0]} references and rights, the same at all parties" if found.clean else "the parties differ"
    rows = [{"reference": d.reference_id, "parties": d.parties} for d in found.differences]
    emit(as_json, text, clean=found.clean, counts=found.counts, steps=found.steps, differences=rows)
    for difference in () if as_json else found.differences:
        out.print(f"{difference.reference_id}: {', '.join(map(_held, difference.parties))}")
    raise typer.Exit(MATCH if found.clean else NO_MATCH)


def _held(row: tuple[str, str, int, str, str] | None) -> str:
    if row is None:
        return "missing"
    subject, model, version, caller, gallery = row
    if not model:
        return f"rule of gallery {gallery} ({caller or 'that it is'})"
    if gallery.startswith("!"):
        return f"failures of {subject} ({model}, gallery {gallery[1:]})"
    if version == 0:
        return f"right of {caller} to {subject or 'every subject'} ({model}, gallery {gallery})"
    return f"{subject} ({model}, gallery {gallery}, version {version}, by {caller})"


@app.command()
def refresh(home: Home = DEFAULT_HOME, deadline: Patience = 600, as_json: Json = False) -> None:
    """Give every stored reference and model new shares: what was stolen before is worth nothing with what is stolen later."""
    with progress("refreshing"):
        renewed = with_client(home, lambda c: c.admin.refresh(), deadline=deadline, role="admin")
    emit(as_json, f"renewed {renewed} references and all models", references=renewed)


@app.command()
def recover(
    party: Annotated[int, typer.Argument(min=0, max=2, help="The party that has lost its store.")],
    home: Home = DEFAULT_HOME,
    deadline: Patience = 600,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase one party's store and write it anew from the two others, which learn nothing by it."""
    if not yes:
        confirm(f"Erase the store of party {party} and write it anew?")
    with progress(f"restoring party {party}"):
        restored = with_client(home, lambda c: c.admin.recover(party), deadline=deadline, role="admin")
    emit(as_json, f"party {party} holds {restored} references again", party=party, references=restored)


Grantee = Annotated[str, typer.Argument(help="enroller/NAME or owner/NAME, as in the certificate.")]
Subject = Annotated[
    str, typer.Argument(help="Whose references; every subject of model and gallery when it is left out.")
]
Since = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC; the whole log otherwise.")
]


@app.command()
def grant(
    grantee: Grantee,
    subject: Subject = "",
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    as_json: Json = False,
) -> None:
    """Let a caller add to, replace, delete and rename what others have enrolled."""
    with_client(home, lambda c: c.admin.grant(grantee, subject), model=model, gallery=gallery, role="admin")
    text = f"{grantee} has a right to {subject or 'every subject'} of {model} in gallery {gallery}"
    emit(as_json, text, grantee=grantee, subject=subject, model=model, gallery=gallery)


@app.command()
def revoke(
    grantee: Grantee,
    subject: Subject = "",
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    as_json: Json = False,
) -> None:
    """Take back what grant gave with the same words."""
    with_client(home, lambda c: c.admin.revoke(grantee, subject), model=model, gallery=gallery, role="admin")
    text = f"{grantee} has no longer this right to {subject or 'every subject'} of {model} in gallery {gallery}"
    emit(as_json, text, grantee=grantee, subject=subject, model=model, gallery=gallery)


@app.command()
def unlock(
    subject: Annotated[str, typer.Argument(help="Whose failed verifications are forgotten.")] = "",
    everybody: Annotated[bool, typer.Option("--all", help="Those of everybody with the model in the gallery.")] = False,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    as_json: Json = False,
) -> None:
    """Let a subject be verified again that too many failed verifications in a row have locked."""
    if bool(subject) == everybody:
        raise typer.BadParameter("name a subject, or say --all")
    count = with_client(home, lambda c: c.admin.unlock(subject), model=model, gallery=gallery, role="admin")
    text = f"{subject or f'everybody ({count})'} begins from nothing in gallery {gallery}"
    emit(as_json, text, subject=subject, model=model, gallery=gallery, forgotten=count)


@app.command()
def rights(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """List who has a right to what others have enrolled."""
    found = with_client(home, lambda c: c.admin.rights(), role="admin")
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(right) for right in found]))
    for right in () if as_json else found:
        typer.echo(f"{right.grantee}\t{right.model}\t{right.subject or '(every subject)'}\t{right.gallery}")


@app.command()
def review(
    name: Annotated[str | None, typer.Argument(help="Whose references; left out: list who waits.")] = None,
    accept: Annotated[bool | None, typer.Option("--accept/--reject", help="They are enrolled, or erased.")] = None,
    home: Home = DEFAULT_HOME,
    model: Model = DEFAULT_MODEL,
    gallery: Gallery = DEFAULT_GALLERY,
    as_json: Json = False,
) -> None:
    """Decide about enrolments that wait because somebody else may be the same person; or list them."""
    asked: dict[str, Any] = {"model": model, "gallery": gallery, "role": "admin"}
    if name is None:
        found = with_client(home, lambda c: c.subjects(waiting=True), **asked)
        if as_json:
            typer.echo(json.dumps([dataclasses.asdict(one) for one in found]))
        for one in () if as_json else found:
            typer.echo(f"{one.subject}\t{one.references}")
        return
    if accept is None:
        raise typer.BadParameter("one of them, with a name", param_hint="--accept/--reject")
    done = with_client(home, lambda c: c.review(name, accept=accept), **asked)
    text = f"{name}: {done} references {'accepted' if accept else 'erased'}"
    emit(as_json, text, subject=name, accepted=accept, references=done)


@app.command()
def invite(
    name: Annotated[str, typer.Argument(help="Who is invited: 1 to 64 of A-Z a-z 0-9 . _ -")],
    role: Annotated[str, typer.Option(help="client (an enroller), or verifier.")] = "client",
    gallery: Annotated[
        str | None, typer.Option(help="Where; the link says so, and the answer which rules must allow it.")
    ] = None,
    minutes: Annotated[int, typer.Option(min=1, max=7 * 24 * 60, help="For how long the link is good.")] = 10,
    directory: Annotated[
        Path | None, typer.Option("--registrar", help="The registrar's directory; otherwise registrar/ in the home.")
    ] = None,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Print a link, and its QR code, with which one browser gets a certificate of the registrar's, once."""
    made = invitations.invite(directory or home / "registrar", name, role, gallery, minutes)
    if not as_json:
        invitations.draw(made.link)
    emit(as_json, made.link, **dataclasses.asdict(made))
    if made.certificates and not as_json:
        out.print(
            f"{made.role} has {made.certificates} certificates already: whoever opens this link is the same caller"
        )
    if gallery is not None and not as_json:
        out.print(f"rules of gallery {gallery} must name {made.role}: see visard gallery show {gallery} --admin")


@app.command()
def audit_log(
    home: Home = DEFAULT_HOME,
    since: Since = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the three logs to this file, a line of JSON an entry.")
    ] = None,
    verify: Annotated[Path | None, typer.Option(help="Only verify the chains of hashes in an exported file.")] = None,
    as_json: Json = False,
) -> None:
    """Who asked for what? Compares the three parties' logs; exit status 1 when they differ, or a chain is broken."""
    if verify is not None:
        _verify(verify, as_json)
    begin = int(since.replace(tzinfo=UTC).timestamp() * 1000) if since is not None else 0
    with progress("reading three logs"):
        logs = with_client(home, lambda c: c.admin.audit_log(begin), role="admin")
    if export is not None:
        auditlog.export(logs, export)
    found, asked = auditlog.compare(logs, begin), auditlog.summary(logs, begin)
    broken = [f"party {log.party}, entry {number}" for log in logs for number in log.broken()]
    clean = not found.differences and not broken
    text = (
        f"{'the same' if clean else 'DIFFERENT'} at all parties; {found.incomplete} requests came to an end too early"
    )
    heads = [{"party": log.party, "entries": len(log.entries), "head": log.head.hex()} for log in logs]
    differences = [_difference(difference) for difference in found.differences]
    emit(as_json, text, clean=clean, parties=heads, broken=broken, differences=differences, asked=asked)
    if not as_json:
        _show(asked, broken, differences)
    raise typer.Exit(MATCH if clean else NO_MATCH)


def _difference(one: auditlog.LogDifference) -> dict[str, str | list[str]]:
    at = datetime.fromtimestamp(one.time_unix_ms / 1000, UTC).isoformat(timespec="seconds")
    views = ["missing" if account is None else str(account) for account in one.parties]
    return {"request": one.request_id.hex(), "time": at, "parties": views}


def _show(
    asked: list[tuple[str, str, str, int]], broken: list[str], differences: list[dict[str, str | list[str]]]
) -> None:
    for caller, operation, code, count in asked:
        typer.echo(f"{caller}\t{operation}\t{code}\t{count}")
    for where in broken:
        typer.echo(f"broken chain: {where}")
    for one in differences:
        typer.echo(f"{one['time']} {one['request']}: {' | '.join(one['parties'])}")


def _verify(path: Path, as_json: bool) -> None:
    """Never returns: the exit status is the answer."""
    found = auditlog.verify(path)
    parties = [{"party": party, "entries": n, "head": found.heads[party]} for party, n in found.entries.items()]
    text = "whole" if not found.problems else "NOT WHOLE"
    emit(as_json, text, whole=not found.problems, parties=parties, problems=found.problems)
    lines = [*found.problems, *(f"party {p['party']}: {p['entries']} entries, newest {p['head']}" for p in parties)]
    for line in () if as_json else lines:
        typer.echo(line)
    raise typer.Exit(NO_MATCH if found.problems else MATCH)
