"""Commands about the services: up, status, certs."""

import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from visard import certs as certificates
from visard.cli.options import DEFAULT_HOME, AsJson, Home, connect
from visard.cli.output import Output
from visard.cluster import BASE_PORT, SERVICES, Cluster
from visard.errors import Unavailable
from visard.hosting import publish_face_model
from visard.v1 import gateway_pb2

POLL_SECONDS = 0.5
STATUS_SECONDS = 10.0
MAX_RESTARTS = 5  # of all services together: more than that is a defect, not an accident


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(status)
    group = typer.Typer(no_args_is_help=True, help="Certificates and the parties' sealing keys.")
    group.callback()(_certs)
    group.command("init")(init_certs)
    app.add_typer(group, name="certs")


def _certs() -> None:
    """Certificates and the parties' sealing keys."""


def up(
    home: Home = DEFAULT_HOME,
    base_port: Annotated[int, typer.Option("--base-port", min=1024, max=65000)] = BASE_PORT,
    stock_target: Annotated[int, typer.Option("--stock", min=1, max=64, help="Kits of a network kept ready.")] = 4,
    no_model: Annotated[bool, typer.Option("--no-model", help="Publish no face network.")] = False,
    ready_file: Annotated[Path | None, typer.Option("--ready-file", help="Written when everything is ready.")] = None,
) -> None:
    """Run gateway, dealer and three parties on this machine until Ctrl-C, each a process of its own."""
    output = Output(as_json=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as for Ctrl-C
    cluster = Cluster(home, base_port=base_port, stock_target=stock_target)
    try:
        with output.progress("Starting the services"):
            cluster.prepare()
            cluster.start()
        if not no_model:
            with output.progress("Publishing the face network, if there is none yet"):
                publish_face_model(home)
        output.note(f"ready: gateway at {cluster.address('gateway')}, home {home}; Ctrl-C stops everything")
        if ready_file is not None:
            ready_file.write_text(cluster.address("gateway") + "\n")
        _watch(cluster, output)
    except KeyboardInterrupt:
        output.note("stopping")
    finally:
        cluster.stop()
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def _watch(cluster: Cluster, output: Output) -> None:
    """Start again what ends by itself; raises Unavailable when that happens too often."""
    restarts = 0
    while True:
        time.sleep(POLL_SECONDS)
        for name in SERVICES:
            if (code := cluster.processes[name].poll()) is None:
                continue
            restarts += 1
            if restarts > MAX_RESTARTS:
                raise Unavailable(f"{name} ended again (status {code}):\n{cluster.log_tail(name)}")
            output.note(f"{name} ended (status {code}): starting it again\n{cluster.log_tail(name, 5)}")
            cluster.start([name])


def status(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """How the services are. Exit status 0 if all parties are ready, 2 if not."""
    output = Output(as_json)
    with output.progress("Asking"), connect(home, deadline=STATUS_SECONDS) as client:
        answer = client.status()
    if as_json:
        output.answer("", _fields(answer))
    else:
        output.out.print(_table(answer))
    if not answer.ready:
        raise typer.Exit(2)


def _fields(answer: gateway_pb2.GetStatusResponse) -> dict[str, object]:
    return {
        "ready": answer.ready,
        "version": answer.version,
        "parties": [
            {
                "party": party.party,
                "ready": party.ready,
                "reason": party.reason,
                "version": party.version,
                "subjects": party.subjects,
                "references": party.references,
                "runs_active": party.runs_active,
                "models": [model.name for model in party.models],
                "stock": [
                    {"program": s.program, "available": s.available, "target": s.target, "kit_mb": s.kit_bytes / 1e6}
                    for s in party.stock
                ],
            }
            for party in answer.parties
        ],
    }


def _table(answer: gateway_pb2.GetStatusResponse) -> Table:
    title = f"visard {answer.version}: {'ready' if answer.ready else 'not ready'}"
    table = Table("party", "state", "models", "subjects", "references", "runs", "kits in stock", title=title)
    for party in answer.parties:
        state = "ready" if party.ready else party.reason or "not ready"
        stock = "\n".join(f"{s.available} of {s.target} ({s.kit_bytes / 1e6:.1f} MB each)" for s in party.stock)
        counts = map(str, (party.subjects, party.references, party.runs_active))
        table.add_row(str(party.party), state, ", ".join(m.name for m in party.models), *counts, stock)
    return table


def init_certs(
    directory: Annotated[Path, typer.Argument(metavar="DIR")],
    hosts: Annotated[
        list[str] | None, typer.Option("--host", help="Name or address of a machine (repeatable).")
    ] = None,
) -> None:
    """Make an authority, a certificate for each role and the parties' sealing keys. Overwrites nothing."""
    certificates.init(directory, tuple(hosts) if hosts else ("localhost", "127.0.0.1"))
    Output(as_json=False).note(f"{directory}: ca.pem and certificates made; keep ca.key where no service runs")
