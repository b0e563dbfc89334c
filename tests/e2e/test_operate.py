"""What an operator types: a watch that shows trouble and lives through it, and health as an exit status."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from visard.client import Client, Connection
from visard.cluster import SERVICES, Cluster, free_port_base

from tests.e2e.test_cli import VISARD, visard
from tests.waiting import PATIENCE, until


def health_of_a_service__should_be_the_exit_status(cluster: Cluster) -> None:
    serving = visard(cluster, "health", cluster.health_address("party2"), "--seconds", "60")
    assert (serving.returncode, serving.stdout) == (0, "serving\n")
    certs = cluster.home / "certs"
    assert (
        visard(
            cluster, "health", cluster.address("dealer"), "--certs", certs, "--role", "party1", "--seconds", "60"
        ).returncode
        == 0
    )
    absent = visard(cluster, "health", f"127.0.0.1:{free_port_base()}")
    assert (absent.returncode, "does not answer" in absent.stderr) == (2, True)
    cluster.processes["party0"].send_signal(signal.SIGSTOP)  # alive, and silent
    try:
        silent = visard(cluster, "health", cluster.health_address("party0"), "--seconds", "0.5")
        assert (silent.returncode, "DEADLINE_EXCEEDED" in silent.stderr) == (2, True)
    finally:
        cluster.processes["party0"].send_signal(signal.SIGCONT)


async def request__should_be_found_by_its_id_in_every_log(cluster: Cluster, photos: dict[str, Path]) -> None:
    asked: list[str] = []
    async with Client(Connection.from_home(cluster.home)) as client:
        real = client._caller.request
        client._caller.request = lambda *a, **k: asked.append((r := real(*a, **k)).request_id.hex()) or r  # type: ignore[method-assign, func-returns-value]
        await client.compare(photos["obama"], photos["obama2"])

    def lines(name: str) -> list[dict[str, object]]:
        text = (cluster.home / "logs" / f"{name}.log").read_text()
        written = [json.loads(line) for line in text.splitlines() if line.startswith("{")]  # gRPC has words of its own
        return [line for line in written if line.get("request") == asked[-1]]

    await until(lambda: [len(lines(name)) for name in SERVICES if name != "dealer"] == [3, 3, 3, 1])
    (call,) = lines("gateway")
    assert (call["event"], call["method"], call["status"]) == ("call", "visard.v1.FaceMatching/Compare", "OK")
    for party in ("party0", "party1", "party2"):
        events = [(line["event"], line.get("method")) for line in lines(party)]
        assert events == [("call", "visard.v1.Party/Deposit"), ("run done", None), ("call", "visard.v1.Party/Run")]


def probe__should_need_no_image_library(cluster: Cluster) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "visard.health", cluster.health_address("gateway")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0
    assert "cv2" not in done.stderr
    assert "numpy" not in done.stderr


def watch__should_show_a_lost_party_and_its_return_and_end_on_interrupt(cluster: Cluster, tmp_path: Path) -> None:
    """In a real terminal: the screen's bytes are read as they come."""
    terminal, end = pty.openpty()
    environment = os.environ | {"VISARD_HOME": str(cluster.home), "COLUMNS": "200", "LINES": "50", "TERM": "xterm"}
    watching = subprocess.Popen([str(VISARD), "status", "--watch"], stdin=end, stdout=end, stderr=end, env=environment)
    os.close(end)
    os.set_blocking(terminal, False)
    screen = ""

    def until(text: str) -> None:
        nonlocal screen
        deadline = time.monotonic() + PATIENCE
        while text not in screen:
            assert time.monotonic() < deadline, screen[-2000:]
            try:
                screen += os.read(terminal, 1 << 16).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.05)
        screen = screen.rpartition(text)[2]

    until("kits in stock")
    cluster.kill("party2")
    until("party 2 is unavailable")
    cluster.start(["party2"])
    until(": ready")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(PATIENCE) == 0
    os.close(terminal)
