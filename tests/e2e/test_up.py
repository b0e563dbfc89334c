"""``visard up`` starts everything on one machine, publishes the network, and leaves nothing behind however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from visard.cluster import free_port_base

VISARD = Path(sys.executable).parent / "visard"
SECONDS = 120
SMALL = "face-small"  # SFace takes as long again to be compiled, and longer to be run


class Up:
    """A running ``visard up``, and what it says."""

    def __init__(self, folder: Path, port: int) -> None:
        self.home, self.port, self._told = folder / "home", port, folder / "told"
        self.process = self.started()

    def started(self) -> "subprocess.Popen[bytes]":
        """Another one at the same home, once it says that it is ready."""
        ready = self.home.parent / "ready"
        ready.unlink(missing_ok=True)
        with self._told.open("ab") as told:
            process = subprocess.Popen([*command(self.home, self.port), "--ready-file", str(ready)], stderr=told)
        end = time.monotonic() + SECONDS
        while not ready.exists():
            assert process.poll() is None, self.told
            assert time.monotonic() < end, "not ready in time"
            time.sleep(0.1)
        return process

    @property
    def told(self) -> str:
        return self._told.read_text()

    def again(self) -> None:
        """End it, and start it once more."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(SECONDS) == 0
        self.process = self.started()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(SECONDS)

    def says(self, text: str) -> None:
        """Wait until it has said something."""
        end = time.monotonic() + SECONDS
        while text not in self.told:
            assert time.monotonic() < end, self.told
            time.sleep(0.1)

    def visard(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"VISARD_HOME": str(self.home)}
        line = [str(VISARD), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)


def command(home: Path, port: int) -> list[str]:
    return [str(VISARD), "up", "--home", str(home), "--port", str(port), "--network", SMALL]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The first one, which publishes the network."""
    made = Up(tmp_path_factory.mktemp("up"), free_port_base())
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def running(home: Up) -> Iterator[Up]:
    """The same home for each test, running, with the settings that it began with and nobody enrolled."""
    if home.process.poll() is not None:
        home.process = home.started()
    settings = home.home / "party0.toml"
    before = settings.read_text()
    yield home
    if settings.read_text() != before:
        settings.write_text(before)
        home.end()
    if home.process.poll() is None:
        home.visard("delete", "ada", "--model", SMALL)


def children(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    assert len(found) == 5
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def services__should_end_with_the_command(running: Up, number: signal.Signals) -> None:
    up, services = running.process, children(running.process)
    assert json.loads(running.visard("status", "--json").stdout)["ready"] is True
    up.send_signal(number)
    assert up.wait(SECONDS) == (-9 if number is signal.SIGKILL else 0)
    _, alive = psutil.wait_procs(services, timeout=SECONDS)
    assert not alive


def service_that_is_killed__should_be_started_again_and_said_so(running: Up, photos: dict[str, Path]) -> None:
    assert running.visard("enrol", "ada", photos["obama"], "--model", SMALL).returncode == 0
    (party,) = [c for c in children(running.process) if any("party1.toml" in word for word in c.cmdline())]
    party.kill()
    running.says("party1 has ended (killed by SIGKILL)")
    running.says("party1 is started again")
    assert running.visard("verify", "ada", photos["obama2"], "--model", SMALL).returncode == 0
    children(running.process)


def second_one__should_not_touch_the_home_of_the_first(running: Up, tmp_path: Path) -> None:
    for port in (running.port, free_port_base()):
        other = subprocess.run(
            command(running.home, port), capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert (other.returncode, "another visard up works in" in other.stderr) == (2, True), other.stderr
    foreign = subprocess.run(
        command(tmp_path / "other", running.port), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert foreign.returncode == 2
    assert f"cannot listen on 127.0.0.1:{running.port}: another program does" in foreign.stderr, foreign.stderr
    assert running.visard("status").returncode == 0


def what_an_operator_has_edited__should_stay(running: Up, tmp_path: Path) -> None:
    edited = running.home / "party0.toml"
    edited.write_text("max_queue = 3\n" + edited.read_text())
    running.again()
    assert edited.read_text().startswith("max_queue = 3\n")
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(SECONDS) == 0
    for options, expected in (
        (["--store", "mongodb://localhost:1/p{party}"], "--store"),
        (["--port", "17000"], "--port"),
    ):
        line = [str(VISARD), "up", "--home", str(running.home), "--port", str(running.port), *options]
        refused = subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert (refused.returncode, expected in refused.stderr) == (2, True), refused.stderr


def party_that_has_lost_its_store__should_not_end_the_others(running: Up, photos: dict[str, Path]) -> None:
    """So that what the documentation says can be done: visard admin recover."""
    assert running.visard("enrol", "ada", photos["obama"], "--model", SMALL).returncode == 0
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(SECONDS) == 0
    for file in (running.home / "party1").glob("visard.sqlite*"):
        file.unlink()
    before = len(running.told)
    running.process = running.started()
    assert "running, but not ready" in running.told[before:]
    recovered = running.visard("admin", "recover", 1, "--yes", "--json")
    assert recovered.returncode == 0, recovered.stderr
    assert json.loads(recovered.stdout)["references"] == 1
    assert running.visard("verify", "ada", photos["obama2"], "--model", SMALL).returncode == 0
