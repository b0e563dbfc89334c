"""docs/by-hand.md works as written: its commands, its files and the units of deploy/systemd, on one machine, with other ports."""

import configparser
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from visard.cluster import free_port_base
from visard_common.config import ServiceConfig, read
from visard_dealer.config import DealerConfig
from visard_gateway.config import GatewayConfig
from visard_party.config import PartyConfig

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "by-hand.md"
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
CONFIGS: dict[str, type[ServiceConfig]] = {"dealer": DealerConfig, "gateway": GatewayConfig, "party": PartyConfig}
LOOKS = ("visard health ", "visard status ", f"{sys.prefix}/bin/python -P -m visard.health ")  # until it is so
SECONDS = 240.0


def statements() -> list[str]:
    """What the page's blocks marked sh say to a shell, one after the other; a file in place stays with its command."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^(?:.+<<'END'\n(?:.*\n)*?END|.+)$", "".join(blocks), re.MULTILINE)


def unit(path: Path, instance: str = "") -> configparser.ConfigParser:
    """A unit as systemd reads it, for one instance of a template."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text().replace("%i", instance))
    return parser


class Machine:
    """One machine in place of six: folders and ports of its own, and what systemd would run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.base = folder, free_port_base()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "work").mkdir()

    def here(self, text: str) -> str:
        """With the folders, names and ports of this machine; nothing else is changed."""
        text = re.sub(r"\b73(\d\d)\b", lambda found: str(self.base + int(found[1])), text)
        text = re.sub(r"\b\w+\.example\b", "127.0.0.1", text)
        text = re.sub(r"-o visard-\w+", f"-o {os.getuid()}", text)  # there are no such users here
        for place in ("/etc/systemd/system", "/etc/visard", "/var/lib/visard", "/var/cache/visard"):
            text = re.sub(rf"(?<![\w/]){place}", f"{self.folder}{place}", text)
        return text.replace("/opt/visard/venv", sys.prefix).replace(" deploy/systemd/", f" {ROOT}/deploy/systemd/")

    def run(self, statement: str) -> str:
        """What a statement prints; services are started and stopped as systemctl would have it."""
        if statement.startswith("useradd "):
            return ""
        if statement.startswith("systemctl "):
            self.systemctl(*statement.split()[1:])
            return ""
        end, command = time.monotonic() + SECONDS, self.here(statement)
        while True:
            done = self.shell(command)
            if done.returncode == 0 or not command.startswith(LOOKS) or time.monotonic() > end:
                break
            self.check_alive()
            time.sleep(0.2)
        assert done.returncode == 0, f"{command}\n{done.stderr}{done.stdout}\n{self.logs()}"
        return done.stdout

    def shell(self, command: str) -> "subprocess.CompletedProcess[str]":
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VISARD_")}
        environment["PATH"] = f"{sys.prefix}/bin:{environment['PATH']}"
        work = self.folder / "work"
        return subprocess.run(
            ["bash", "-euc", command],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=environment,
            cwd=work,
            check=False,
        )

    def systemctl(self, verb: str, *words: str) -> None:
        if verb == "daemon-reload":
            return
        name = words[-1]
        assert (verb, words[:-1]) in (("enable", ("--now",)), ("restart", ()))
        if verb == "restart":
            self.stop(name)
        self.start(name)

    def start(self, name: str) -> None:
        kind, _, instance = name.partition("@")
        found = unit(self.folder / f"etc/systemd/system/{kind}{'@' if instance else ''}.service", instance)["Service"]
        if state := found.get("StateDirectory"):
            directory = self.folder / "var/lib" / state
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(int(found["StateDirectoryMode"], 8))
        environment = dict(pair.split("=") for pair in found["Environment"].split())
        environment.pop("NUMBA_CACHE_DIR", None)  # the kernels are compiled already, beside the sources
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                shlex.split(self.here(found["ExecStart"])),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
            )

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, self.logs()

    def check_alive(self) -> None:
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        assert ended == [], self.logs()

    def logs(self) -> str:
        """The last words of each service."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{file.name}: {' | '.join(file.read_text().splitlines()[-5:])}" for file in files)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()


@pytest.mark.timeout(1500)
def page__should_lead_to_a_match_and_no_match(machine: Machine, photos: dict[str, Path]) -> None:
    for name, photo in (("ada", "obama"), ("ada2", "obama2")):
        shutil.copy(photos[photo], machine.folder / "work" / f"{name}.jpg")
    said = {}
    for statement in statements():
        said[statement] = machine.run(statement)
        if statement.startswith("visard enrol"):
            stranger = machine.shell(f"visard verify ada {photos['biden']} --home home")
            assert (stranger.returncode, stranger.stdout.startswith("no match")) == (1, True), stranger.stderr
    assert said["visard verify ada ada2.jpg --home home"].startswith("match")
    assert said["visard admin audit --home home"].startswith("1 references")
    with sqlite3.connect(machine.folder / "work/backup/party0.sqlite") as backup:
        assert backup.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    backup.close()
    for party in range(3):
        modes = {path.name: path.stat().st_mode & 0o777 for path in machine.folder.glob(f"*/visard/party{party}/*")}
        assert modes == {"ca.pem": 0o400, f"party{party}.pem": 0o400, f"party{party}.key": 0o400, "party.toml": 0o400}
        assert (machine.folder / f"var/lib/visard/party{party}").stat().st_mode & 0o777 == 0o700
    for name in list(machine.processes):
        machine.stop(name)


def page__should_do_everything_that_it_tells() -> None:
    told = "\n".join(statements())
    needed = (
        "certs init",
        "useradd",
        "master",
        "enable --now visard-gateway",
        "restart",
        "admin audit",
        "sqlite3",
        "certs renew",
    )
    assert [word for word in needed if word not in told] == []


def files_in(text: str) -> dict[str, str]:
    """The files that the page writes, by their paths."""
    return dict(re.findall(r"/dev/stdin (\S+) <<'END'\n(.*?)END", text, re.DOTALL))


def instances() -> list[tuple[Path, str]]:
    return [(path, k) for path in UNITS for k in ("012" if "@" in path.name else ("",))]


@pytest.mark.parametrize(
    ("path", "instance"), instances(), ids=lambda value: value if isinstance(value, str) else value.stem
)
def unit__should_start_a_program_with_a_file_of_the_page(
    path: Path, instance: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = unit(path, instance)["Service"]
    program, option, config = shlex.split(service["ExecStart"])
    folder, _, name = program.rpartition("/")
    assert (folder, option) == ("/opt/visard/venv/bin", "--config")
    assert Path(sys.prefix, "bin", name).is_file()
    text = files_in(PAGE.read_text())[config]
    (tmp_path / "config.toml").write_text(text)
    for key in [key for key in os.environ if key.startswith("VISARD_")]:
        monkeypatch.delenv(key)
    made = read(CONFIGS[name.removeprefix("visard-")], tmp_path / "config.toml")
    assert service["User"] in PAGE.read_text()
    assert int(service["TimeoutStopSec"]) > made.drain_seconds
    state = service.get("StateDirectory")
    written = {value for key, value in tomllib.loads(text).items() if key in ("data_dir", "master_key")}
    assert all(value.startswith(f"/var/lib/{state}") for value in written)
    assert written or state is None


HARDENED = {
    "Restart": "on-failure",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "LimitCORE": "0",
    "MemorySwapMax": "0",
    "CapabilityBoundingSet": "",
    "UMask": "0077",
}


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def unit__should_be_locked_down(path: Path) -> None:
    service = unit(path)["Service"]
    assert {key: service.get(key) for key in HARDENED} == HARDENED
    assert service["User"].startswith("visard-")


def units__should_differ_in_nothing_but_what_they_run() -> None:
    own = {
        "User",
        "ExecStart",
        "Environment",
        "StateDirectory",
        "StateDirectoryMode",
        "CacheDirectory",
        "TimeoutStopSec",
    }
    common = [{key: value for key, value in unit(path)["Service"].items() if key not in own} for path in UNITS]
    assert common[0] == common[1] == common[2]


@pytest.mark.parametrize(
    ("path", "instance"), instances(), ids=lambda value: value if isinstance(value, str) else value.stem
)
def unit__should_pass_systemds_own_checks(path: Path, instance: str, tmp_path: Path) -> None:
    copy = tmp_path / path.name.replace("@", f"@{instance}")
    copy.write_text(path.read_text().replace("/opt/visard/venv", sys.prefix))
    verified = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(copy)]  # tenths: 2.0 of 10
    exposed = subprocess.run(rated, capture_output=True, text=True, timeout=60, check=False)
    assert exposed.returncode == 0, exposed.stdout[-200:]
