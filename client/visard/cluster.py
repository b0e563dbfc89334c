"""All five services on this machine, each a process of its own: for trying visard, and for its tests."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from visard import certs, health
from visard.errors import Unavailable

SERVICES = ("dealer", "party0", "party1", "party2", "gateway")
BASE_PORT = 7300
START_SECONDS = 90.0  # the first start on a machine compiles the kernels
STOP_SECONDS = 10.0
RESTART_SECONDS = 30.0  # longer than a service drains
_OFFSETS = {"gateway": 0, "dealer": 1, "party0": 10, "party1": 11, "party2": 12}
# of the ports without TLS, on this machine alone
_METRICS = {"gateway": 2, "dealer": 3, "party0": 13, "party1": 14, "party2": 15}
_HEALTH = {"gateway": 4, "dealer": 5, "party0": 16, "party1": 17, "party2": 18}


@dataclass
class Cluster:
    """A gateway, a dealer and three parties under one directory."""

    home: Path
    base_port: int = BASE_PORT
    stock_target: int = 4
    options: dict[str, str] = field(default_factory=dict)  # further TOML lines for the parties
    store: str = "sqlite"  # of each party; {party} stands for its number
    expiry_interval: float = 60.0
    traces: str = ""
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """Where a service listens."""
        return f"127.0.0.1:{self.base_port + _OFFSETS[name]}"

    def metrics_address(self, name: str) -> str:
        """Where a service offers /metrics."""
        return f"127.0.0.1:{self.base_port + _METRICS[name]}"

    def health_address(self, name: str) -> str:
        """Where a service answers health without TLS."""
        return f"127.0.0.1:{self.base_port + _HEALTH[name]}"

    def module(self, name: str) -> str:
        """The program of a service."""
        return f"services.{'party' if name.startswith('party') else name}"

    def prepare(self) -> None:
        """Certificates and configuration files, where there are none yet."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "logs").mkdir(exist_ok=True)
        if not (self.home / "certs" / "ca.pem").exists():
            certs.init(self.home / "certs")
        for name in SERVICES:
            path = self.home / f"{name}.toml"
            path.touch(mode=0o600)  # a store's address may hold a password
            path.write_text(self._config(name))
        client = f'gateway = "{self.address("gateway")}"\ncerts = "certs"\n'
        (self.home / "client.toml").write_text(client)

    def start(self, names: Sequence[str] = SERVICES, seconds: float = START_SECONDS) -> None:
        """Start services and wait until they are healthy; raises Unavailable with the end of the log."""
        for name in names:
            self._spawn(name)
        end = time.monotonic() + seconds
        for name in names:
            self._await(name, end)

    def stop(self) -> None:
        """Stop everything, the gateway first, whatever it takes."""
        for name in reversed(SERVICES):
            if process := self.processes.get(name):
                process.terminate()
        end = time.monotonic() + STOP_SECONDS
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
            self._end(process)
        self.processes.clear()

    def restart(self, name: str) -> None:
        """Stop one service in order, as an operator would, and start it again; raises Unavailable."""
        self.stop_one(name)
        self.start([name])

    def stop_one(self, name: str) -> None:
        """SIGTERM: the service finishes what it has begun."""
        process = self.processes.pop(name)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(RESTART_SECONDS)
        self._end(process)

    def kill(self, name: str) -> None:
        """SIGKILL: no goodbye."""
        self._end(self.processes.pop(name))

    @staticmethod
    def _end(process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def healthy(self, name: str) -> bool:
        """Whether a service says that it serves."""
        folder = self.home / "certs"
        try:
            return health.serving(
                self.address(name), (folder / "ca.pem", folder / "client.pem", folder / "client.key"), 1
            )
        except Unavailable:
            return False

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The end of a service's log."""
        path = self.home / "logs" / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _await(self, name: str, end: float) -> None:
        while not self.healthy(name):
            if self.processes[name].poll() is not None:
                raise Unavailable(f"{name} ended while it started:\n{self.log_tail(name)}")
            if time.monotonic() > end:
                raise Unavailable(f"{name} did not become healthy in time:\n{self.log_tail(name)}")
            time.sleep(0.1)

    def _spawn(self, name: str) -> None:
        command = [sys.executable, "-m", self.module(name), "--config", str(self.home / f"{name}.toml")]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VISARD_")} | threads
        environment["VISARD_LIFELINE"] = "stdin"
        with (self.home / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # the lifeline: it ends with us, however we end, and the service with it
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop them in order
            )

    def _config(self, name: str) -> str:
        folder = self.home.resolve() / "certs"
        lines = [
            f'listen = "{self.address(name)}"',
            f'metrics_listen = "{self.metrics_address(name)}"',
            f'health_listen = "{self.health_address(name)}"',
            "reflection = true",
            f'tls = {{ ca = "{folder}/ca.pem", cert = "{folder}/{name}.pem", key = "{folder}/{name}.key" }}',
        ]
        parties = ", ".join(f'"{self.address(f"party{i}")}"' for i in range(3))
        if name == "gateway":
            lines += [f"parties = [{parties}]", f"expiry_interval = {self.expiry_interval}"]
        elif name == "dealer":
            lines.append(f'master_key = "{self.home.resolve()}/dealer.master"')
        else:
            lines += [
                f"index = {name[-1]}",
                f'data_dir = "{self.home.resolve()}/{name}"',
                f'hpke_key = "{folder}/{name}.hpke"',
                f'hpke_previous = "{folder}/{name}.hpke.previous"',
                f"peers = [{parties}]",
                f'dealer = "{self.address("dealer")}"',
                f"stock_target = {self.stock_target}",
                f"store = {json.dumps(self.store.replace('{party}', name[-1]))}",
                *(f"{key} = {value}" for key, value in self.options.items()),
            ]
        if self.traces:
            lines.insert(0, f'traces = "{self.traces}"')
        return "\n".join(lines) + "\n"
