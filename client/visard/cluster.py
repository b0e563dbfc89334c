"""All services on this machine, each a process of its own: for trying visard, and for its tests."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from visard_wire.vouching import read_table

from visard import certs, health
from visard.connection import authority
from visard.errors import InvalidRequest, Unavailable
from visard.extras import advice

SERVICES = ("dealer", "party0", "party1", "party2", "gateway")
BASE_PORT = 7300
START_SECONDS = 90.0  # the first start on a machine compiles the kernels
STOP_SECONDS = 10.0
RESTART_SECONDS = 30.0  # longer than a service drains
_OFFSETS = {"gateway": 0, "dealer": 1, "party0": 10, "party1": 11, "party2": 12}
# of the ports without TLS, on this machine alone
_METRICS = {"gateway": 2, "dealer": 3, "party0": 13, "party1": 14, "party2": 15}
_HEALTH = {"gateway": 4, "dealer": 5, "party0": 16, "party1": 17, "party2": 18}
_PORTS = 20  # from a base port on; behind them three for each worker: gRPC, metrics and health
_WORKER = re.compile(r"party(\d)-worker(\d+)")


_LISTENING = '"event": "listening"'
_ERROR = re.compile('"level": "(error|critical)"')


class OtherSettings(InvalidRequest):
    """The home was set up in another way. ``field`` is "listen" or "store"."""

    def __init__(self, field: str, path: Path) -> None:
        what = {
            "listen": "for another port (base_port)",
            "store": "with another store (store), where its enrolments are",
        }[field]
        move = {"listen": "", "store": '; or move them ("Moving to another store" in docs/operations.md)'}[field]
        remedy = f"see {path.name} there, and take that, or another directory (home){move}"
        super().__init__(f"{path.parent} was set up {what}: {remedy}")
        self.field = field


@dataclass
class Cluster:
    """A gateway, a dealer and three parties under one directory, and so many ``workers`` of each party."""

    home: Path
    base_port: int = BASE_PORT
    stock_target: int = 4
    options: dict[str, str] = field(default_factory=dict)  # further TOML lines for the parties
    store: str = "sqlite"  # of each party; {party} stands for its number
    expiry_interval: float = 60.0
    traces: str = ""
    separate: bool = False  # an authority for each service and one for callers, as where each operator has its own
    workers: int = 0  # over which galleries are spread; may be another at each start
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _logged: dict[str, int] = field(default_factory=dict)  # bytes of each log before the service was started

    @property
    def names(self) -> list[str]:
        """All services, in the order in which they are started; a worker is called as in "party1-worker0"."""
        return [*SERVICES, *(f"party{party}-worker{ordinal}" for ordinal in range(self.workers) for party in range(3))]

    def address(self, name: str) -> str:
        """Where a service listens for gRPC over TLS: host:port."""
        return self._at(name, _OFFSETS, 0)

    def metrics_address(self, name: str) -> str:
        """Where a service offers /metrics over HTTP without TLS: host:port, on this machine alone."""
        return self._at(name, _METRICS, 1)

    def health_address(self, name: str) -> str:
        """Where a service answers questions for its health without TLS: host:port, on this machine alone."""
        return self._at(name, _HEALTH, 2)

    def _at(self, name: str, ports: Mapping[str, int], nth: int) -> str:
        worker = _WORKER.fullmatch(name)
        party, ordinal = map(int, worker.groups()) if worker else (0, 0)
        offset = _PORTS + 9 * ordinal + 3 * party + nth if worker else ports[name]
        return f"127.0.0.1:{self.base_port + offset}"

    def module(self, name: str) -> str:
        """The program of a service: the module that is run."""
        if _WORKER.fullmatch(name):
            return "visard_party.worker"
        return f"visard_{'party' if name.startswith('party') else name}"

    def identity(self, name: str) -> str:
        """Whose certificate a service has: a worker that of its party."""
        return name.partition("-")[0]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The home is ours while the block lasts; raises InvalidRequest when it is another process's."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InvalidRequest(
                    f"another visard up works in {self.home}: end it, or name another directory (home)"
                ) from error
            yield

    def prepare(self) -> None:
        """Certificates and configuration files, where there are none yet: what an operator has edited stays.

        Raises InvalidRequest where the home was set up for another port or store.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self._check_settings()
        (self.home / "logs").mkdir(exist_ok=True)
        if not authority(self.home / "certs").exists():
            self._certify()
        for name in self.names:
            _write_once(self.home / f"{name}.toml", self._config(name))
        _write_once(self.home / "client.toml", f'gateway = "{self.address("gateway")}"\ncerts = "certs"\n')

    def _certify(self) -> None:
        """One authority's certificates; or each operator's, in authorities/, and in certs/ what all of them would have."""
        folder = self.home / "certs"
        if not self.separate:
            certs.init(folder)
            return
        callers = [name for name in certs.ROLES if name not in SERVICES]
        operators = {**{name: [name] for name in SERVICES}, "callers": callers}
        roots = {}
        folder.mkdir(exist_ok=True)
        for operator, names in operators.items():
            own = self.home / "authorities" / operator
            certs.init(own, only=names)
            for name in names:
                for file in (own / f"{name}.pem", own / f"{name}.key"):
                    shutil.copy2(file, folder / file.name)
                role = certs.ROLES[name].removeprefix("visard://")
                roots[role if name in SERVICES else f"{role.partition('/')[0]}/*"] = own / "ca.pem"
        certs.trust(folder, roots)

    def _check_settings(self) -> None:
        for name, key, wanted in (
            ("gateway", "listen", self.address("gateway")),
            ("party0", "store", self._store(0)),
        ):
            path = self.home / f"{name}.toml"
            if not path.exists():
                continue
            try:
                found = str(tomllib.loads(path.read_text()).get(key, ""))
            except (OSError, ValueError) as error:
                raise InvalidRequest(f"{path}: not TOML; remove it to have it written anew") from error
            if found != wanted:
                raise OtherSettings(key, path)

    def start(self, names: Sequence[str] | None = None, seconds: float = START_SECONDS) -> None:
        """Start services, or all, and wait until they are healthy.

        Raises Unavailable with the last words of the first that ended, InvalidRequest where a service is not installed.
        """
        names = self.names if names is None else names
        for package in {self.module(name).partition(".")[0]: None for name in names}:
            if find_spec(package) is None:
                raise InvalidRequest(advice(package))
        for name in names:
            self.spawn(name)
        end, waiting = time.monotonic() + seconds, list(names)
        while waiting := [name for name in waiting if not self._started(name)]:
            if time.monotonic() > end:
                raise Unavailable(
                    f"{' and '.join(waiting)} did not become healthy in time: {self.last_words(waiting[0])}"
                )
            time.sleep(0.1)

    def _started(self, name: str) -> bool:
        """Whether this very process serves: another program's may answer at the same address."""
        if self.processes[name].poll() is not None:
            raise Unavailable(f"{name} ended while it started: {self.last_words(name)}")
        return _LISTENING in self._own_log(name) and self.healthy(name)

    def stop(self) -> None:
        """Stop everything, the gateway first, whatever it takes."""
        for name in reversed(self.names):
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
        """End a service at once (SIGKILL), as a crash would: it finishes nothing."""
        self._end(self.processes.pop(name))

    def buried(self, name: str) -> None:
        """Forget a service that has ended, so that it can be started again."""
        self._end(self.processes.pop(name))

    @staticmethod
    def _end(process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def healthy(self, name: str) -> bool:
        """Whether a service says that it serves; False where it does not answer within a second."""
        folder = self.home / "certs"
        try:
            pem = (authority(folder), folder / "client.pem", folder / "client.key")
            return health.serving(
                self.address(name), pem, 1, certs.ROLES[self.identity(name)].removeprefix("visard://")
            )
        except Unavailable:
            return False

    def _own_log(self, name: str) -> str:
        """What a service has logged since it was started."""
        path = self.home / "logs" / f"{name}.log"
        return path.read_bytes()[self._logged.get(name, 0) :].decode(errors="replace") if path.exists() else ""

    def last_words(self, name: str) -> str:
        """The last error that a service has logged since it was started, or else the last line, and where the log is."""
        lines = [line for line in self._own_log(name).splitlines() if line.strip()]
        errors = [line for line in lines if _ERROR.search(line) or not line.startswith("{")]
        last = (errors or lines or ["it has logged nothing"])[-1]
        return f"{_told(last)} (all of it: {self.home / 'logs' / name}.log)"

    def spawn(self, name: str) -> None:
        """Start a service without waiting until it serves; its output is added to its log."""
        command = [sys.executable, "-m", self.module(name), "--config", str(self.home / f"{name}.toml")]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VISARD_")} | threads
        environment["VISARD_LIFELINE"] = "stdin"
        if self.workers and name == self.identity(name) and name.startswith("party"):
            own = [self.address(f"{name}-worker{ordinal}") for ordinal in range(self.workers)]
            environment["VISARD_WORKERS"] = json.dumps(own)
        with (self.home / "logs" / f"{name}.log").open("ab") as log:
            self._logged[name] = log.tell()
            self.processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # the lifeline: it ends with us, however we end, and the service with it
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop them in order
            )

    def _authorities(self, folder: Path) -> str:
        """The setting that says who vouches for whom."""
        path = authority(folder)
        if path.suffix != ".toml":
            return f'ca = "{path}"'
        return "roots = { " + ", ".join(f'"{role}" = "{file}"' for role, file in read_table(path).items()) + " }"

    def _store(self, party: int) -> str:
        return self.store.replace("{party}", str(party))

    def _config(self, name: str) -> str:
        folder, who = self.home.resolve() / "certs", self.identity(name)
        lines = [
            f'listen = "{self.address(name)}"',
            f'metrics_listen = "{self.metrics_address(name)}"',
            f'health_listen = "{self.health_address(name)}"',
            "reflection = true",
            f'tls = {{ {self._authorities(folder)}, cert = "{folder}/{who}.pem", key = "{folder}/{who}.key" }}',
        ]
        parties = ", ".join(f'"{self.address(f"party{i}")}"' for i in range(3))
        if name == "gateway":
            lines += [f"parties = [{parties}]", f"expiry_interval = {self.expiry_interval}"]
        elif name == "dealer":
            lines.append(f'master_key = "{self.home.resolve()}/dealer.master"')
        else:
            lines += [
                f"index = {who[-1]}",
                f'data_dir = "{self.home.resolve()}/{name}"',
                f'dealer = "{self.address("dealer")}"',
                f"stock_target = {self.stock_target}",
                f"store = {json.dumps(self._store(int(who[-1])))}",
            ]
            if worker := _WORKER.fullmatch(name):
                like = ", ".join(f'"{self.address(f"party{i}-worker{worker[2]}")}"' for i in range(3))
                lines += [f"ordinal = {worker[2]}", f"peers = [{like}]", f'store_dir = "{self.home.resolve()}/{who}"']
            else:
                lines += [f"peers = [{parties}]", *(f"{key} = {value}" for key, value in self.options.items())]
        if self.traces:
            lines.insert(0, f'traces = "{self.traces}"')
        return "\n".join(lines) + "\n"


def _write_once(path: Path, text: str) -> None:
    if not path.exists():
        path.touch(mode=0o600)  # a store's address may hold a password
        path.write_text(text)


def _told(line: str) -> str:
    """What a line of a log says: of JSON the event and the reason."""
    try:
        said = json.loads(line)
        return ": ".join(str(said[key]) for key in ("event", "reason", "exception") if key in said).splitlines()[-1]
    except (ValueError, TypeError, IndexError):
        return line.strip()


def free_port_base(workers: int = 0) -> int:
    """A base port whose ports are all free now; raises Unavailable where none is.

    Processes that ask at the same time begin to look at different ones.
    """
    bases, needed = list(range(17300, 30000, 20)), _PORTS + 9 * workers
    start = os.getpid() * 7 % len(bases)
    for base in bases[start:] + bases[:start]:
        if all(map(_is_free, range(base, base + needed))):
            return base
    raise Unavailable(f"no {needed} ports in a row are free between 17300 and 30000")


def _is_free(port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
