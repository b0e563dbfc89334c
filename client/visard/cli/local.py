"""``visard up``: all five services on this machine."""

import asyncio
import signal
import threading
from pathlib import Path
from typing import Annotated, Literal

import typer

import visard
from visard import owner
from visard.calls import DEFAULT_MODEL
from visard.cli.hints import told
from visard.cli.output import complain, err, progress
from visard.cli.session import DEFAULT_HOME, Home, with_client
from visard.cluster import BASE_PORT, Cluster
from visard.errors import VisardError
from visard.sharing import DEFAULT_FIELD_BITS
from visard.supervision import Supervisor

app = typer.Typer()

_LOOK_SECONDS = 0.5
_PUBLISH_SECONDS = 60.0


@app.command()
def up(
    home: Home = DEFAULT_HOME,
    port: Annotated[int, typer.Option(min=1024, max=65000, help="Port of the gateway; the others follow.")] = BASE_PORT,
    model: Annotated[bool, typer.Option(help="Publish a face network if nothing is published.")] = True,
    network: Annotated[
        Literal["face", "face-small"],
        typer.Option(help="Which, under its own name: SFace, or dlib's, which is faster and errs more often."),
    ] = "face",
    store: Annotated[
        str, typer.Option(envvar="VISARD_STORE", help="sqlite, or mongodb://HOST/NAME{party}: a database a party.")
    ] = "sqlite",
    shards: Annotated[
        int,
        typer.Option(
            min=1,
            max=16,
            help="Workers of each party over which galleries are spread; 1: each party searches by itself.",
        ),
    ] = 1,
    ready_file: Annotated[Path | None, typer.Option(help="File to make when everything is ready.")] = None,
) -> None:
    """Start gateway, parties and dealer on this machine; Ctrl-C stops them."""
    cluster = Cluster(home, port, store=store, workers=shards if shards > 1 else 0)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with cluster.locked():
        cluster.prepare()
        try:
            with progress(f"starting {len(cluster.names)} services"):
                cluster.start()
            state = "ready" if not model or publish_default(home, network) else "running, but not ready"
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


def publish_default(home: Path, network: str = DEFAULT_MODEL) -> bool:
    """Publish a face network under its own name unless something is published; whether the services are ready.

    Where they are not, an operator is told why, and the services stay, so that he can mend them.
    """
    publishing = owner.publish
    owner.threads.single()

    async def work(client: visard.Client) -> list[str]:
        if reasons := [f"party {p.party}: {p.reason}" for p in (await client.status()).parties if not p.ready]:
            return reasons
        if not await client.models.list():
            compiled = await asyncio.to_thread(publishing.compile_face_model, network=network)
            await publishing.publish(client, network, compiled)
            origin = owner.origins.of(owner.bring.load(network), q=DEFAULT_FIELD_BITS, opens=False)
            published = {model.name: model for model in await client.models.list()}
            owner.origins.remember(home, published.get(network), origin)
        return []

    try:
        with progress("publishing the face network"):
            reasons = with_client(home, work, role="owner", deadline=_PUBLISH_SECONDS)
    except VisardError as error:
        reasons = [told(error)]
    for reason in reasons:
        complain(reason)
    return not reasons
