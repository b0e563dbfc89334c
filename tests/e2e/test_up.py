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

from tests.conftest import free_port_base

VISARD = Path(sys.executable).parent / "visard"
SECONDS = 90


@pytest.fixture
def up(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    home, ready = tmp_path / "home", tmp_path / "ready"
    command = [str(VISARD), "up", "--home", str(home), "--port", str(free_port_base()), "--ready-file", str(ready)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    end = time.monotonic() + SECONDS
    while not ready.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "not ready in time"
        time.sleep(0.1)
    yield process
    process.kill()
    process.wait()


def children(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    assert len(found) == 5
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def services__should_end_with_the_command(
    up: "subprocess.Popen[bytes]", tmp_path: Path, number: signal.Signals
) -> None:
    services = children(up)
    home = os.environ | {"VISARD_HOME": str(tmp_path / "home")}
    status = subprocess.run(
        [str(VISARD), "status", "--json"], capture_output=True, text=True, timeout=30, env=home, check=False
    )
    assert json.loads(status.stdout)["ready"] is True
    up.send_signal(number)
    assert up.wait(30) == (-9 if number is signal.SIGKILL else 0)
    _, alive = psutil.wait_procs(services, timeout=15)
    assert not alive
    if up.stderr is not None:
        up.stderr.close()
