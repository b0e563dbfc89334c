"""The callers' side: certificates out of the cluster, a way to the gateway, and what is asked."""

import asyncio
import base64
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from visard.client import DEFAULT_MODEL, Client, Connection
from visard.errors import VisardError
from visard.owner import publish
from visard.owner.networks.names import FACE_SMALL

from tests.cluster.failing import Failed, check, until
from tests.cluster.kubectl import Kubectl
from tests.conftest import PHOTOS

T = TypeVar("T")
ROLES = ("verifier", "client", "owner", "admin")
SUBJECT, PHOTO, SAME, OTHER = "ada", "obama", "obama2", "biden"
DEADLINE = 180.0  # a busy node of two CPUs


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def home(folder: Path, gateway: str, secrets: dict[str, dict[str, str]]) -> Path:
    """A folder like that of visard up, of the callers' Secrets as the API gives them; keys are for their owner alone."""
    certs = folder / "certs"
    certs.mkdir(parents=True, exist_ok=True)
    for role in ROLES:
        private(certs / f"{role}.key", base64.b64decode(secrets[role]["tls.key"]))
        (certs / f"{role}.pem").write_bytes(base64.b64decode(secrets[role]["tls.crt"]))
    (certs / "ca.pem").write_bytes(base64.b64decode(secrets["client"]["ca.crt"]))
    (folder / "client.toml").write_text(f'gateway = "{gateway}"\ncerts = "certs"\n')
    return folder


def private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def fetched(kubectl: Kubectl, namespace: str) -> dict[str, dict[str, str]]:
    """The callers' Secrets."""
    return {role: kubectl.get("secret", f"{role}-tls", "-n", namespace)["data"] for role in ROLES}


@contextmanager
def forwarded(kubectl: Kubectl, namespace: str, target: str, port: int) -> Iterator[int]:
    """A port of this machine that leads to one of the cluster, begun again whenever its pod goes."""
    local = free_port()
    command = kubectl.command("-n", namespace, "port-forward", target, f"{local}:{port}")
    ended = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def keep() -> None:
        while not ended.is_set():
            running[:] = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
            while not ended.wait(0.2) and running[0].poll() is None:
                pass
            running[0].terminate()
            running[0].wait()

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        until(f"{target} is forwarded", lambda: _listens(local), 60)
        yield local
    finally:
        ended.set()
        thread.join()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def certificate_shown(port: int) -> str:
    """What a server shows, in PEM; empty where none answers."""
    try:
        return ssl.get_server_certificate(("127.0.0.1", port), timeout=30).replace("\n", "")
    except OSError:
        return ""


@dataclass(frozen=True)
class Callers:
    """All roles of one deployment."""

    home: Path

    def run(self, ask: Callable[[Client], Awaitable[T]], role: str = "client", deadline: float = DEADLINE) -> T:
        """One caller's requests. Raises Failed."""

        async def asked() -> T:
            async with Client(Connection.from_home(self.home, role), deadline=deadline) as client:
                return await ask(client)

        try:
            return asyncio.run(asked())
        except VisardError as error:
            raise Failed(f"{role}: {type(error).__name__}: {error}") from error

    def ready(self, seconds: float = 300) -> None:
        """Wait until the gateway says that all three parties serve."""

        def look() -> bool:
            try:
                return self.run(_is_ready, "owner", deadline=10)
            except Failed:
                return False

        until("the three parties are ready", look, seconds)

    def publish(self) -> None:
        """A model of the small network."""
        compiled = publish.compile_face_model(network=FACE_SMALL)
        self.run(lambda owner: publish.publish(owner, DEFAULT_MODEL, compiled), "owner")

    def enrol(self, subject: str = SUBJECT, photo: str = PHOTO) -> None:
        """Enrol somebody."""
        self.run(lambda client: client.enrol(subject, [PHOTOS / f"{photo}.jpg"]))

    def verified(self, subject: str = SUBJECT) -> str:
        """Both verifications, as they must be; in words. Raises Failed."""
        same = self.run(lambda client: client.verify(subject, PHOTOS / f"{SAME}.jpg"))
        other = self.run(lambda client: client.verify(subject, PHOTOS / f"{OTHER}.jpg"))
        check(same.match and not other.match, f"{subject}: same {same.match}, other {other.match}")
        return (
            f"{subject} against another photo of her: match ({same.report.seconds:.1f} s); against somebody else: "
            f"no match ({other.report.seconds:.1f} s)"
        )

    def held(self) -> tuple[int, ...]:
        """References and rights that each party holds, the same at all. Raises Failed."""
        found = self.run(lambda client: client.admin.audit(), "admin")
        check(found.clean, f"the parties hold different things: {found.differences}")
        return found.counts


async def _is_ready(client: Client) -> bool:
    return (await client.status()).ready


@dataclass
class Load:
    """Verifications one after the other, in a thread, for as long as a block lasts; what became of them."""

    callers: Callers
    answers: int = 0
    again: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Ask meanwhile; the block ends when the last request has its answer."""
        thread = threading.Thread(target=lambda: asyncio.run(self._ask()), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    async def _ask(self) -> None:
        async with Client(Connection.from_home(self.callers.home), deadline=DEADLINE) as client:
            self._count(client)
            while not self._ended.is_set():
                for photo, expected in ((SAME, True), (OTHER, False)):
                    await self._one(client, photo, expected)

    async def _one(self, client: Client, photo: str, expected: bool) -> None:
        try:
            found = await client.verify(SUBJECT, PHOTOS / f"{photo}.jpg")
        except VisardError as error:
            self.lost.append(f"{type(error).__name__}: {error}")
            return
        self.answers += 1
        self.slowest = max(self.slowest, found.report.seconds)
        if found.match is not expected:
            self.wrong.append(photo)

    def _count(self, client: Client) -> None:
        """Count what the client sends again: attempts that failed."""
        caller: Any = client._caller
        once = caller.call

        async def counted(call: Callable[[], Awaitable[Any]]) -> Any:
            try:
                return await once(call)
            except VisardError:
                self.again += 1
                raise

        caller.call = counted

    def told(self) -> str:
        """In words; raises Failed where a request was lost or answered wrongly."""
        text = (
            f"{self.answers} verifications meanwhile, one after the other: {len(self.lost)} lost, {len(self.wrong)} wrong; "
            f"attempts that the client made again by itself: {self.again}; the slowest answer took {self.slowest:.1f} s"
        )
        check(not self.lost and not self.wrong, f"{text}; {'; '.join(self.lost[:3])}")
        check(self.answers, "no verification was answered")
        return text
