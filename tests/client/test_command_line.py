"""However a command fails, it ends with 2 and a line on standard error: never with 1, which is an answer, nor a traceback."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import typer
import visard
from visard import certs, cli
from visard.cli.app import app
from visard.errors import NoFace

from tests.client.double import LONG, Double, serving

ODD = "[red]a b.jpg"  # markup to some, and a name of a file
# one line a command: arguments with which it gets as far as its own work
ARGUMENTS: dict[str, list[str]] = {
    "up": ["--store", "nonsense://", "--port", "1024"],
    "enrol": [ODD, ODD],
    "verify": [ODD, ODD],
    "compare": [ODD, ODD],
    "identify": [ODD],
    "delete": [ODD],
    "rename": [ODD, ODD],
    "migrate": [ODD, ODD, "--to", ODD],
    "export": [ODD],
    "list": [],
    "demo": [ODD, ODD, ODD],
    "status": [],
    "health": ["127.0.0.1:1"],
    "upload": ["verify", ODD],
    "evaluate": [ODD, ODD],
    "train": [ODD, ODD],
    "run": [ODD, ODD],
    "model publish": [ODD, ODD],
    "model list": [],
    "model points": [ODD],
    "model show": [ODD],
    "model status": [],
    "model delete": [ODD],
    "certs init": ["ca.pem/" + ODD],
    "certs issue": [ODD, ODD, "--role", ODD],
    "certs renew": [ODD, ODD],
    "certs trust": [ODD, f"party/0={ODD}"],
    "web build": [ODD, "--gateway", ODD, "--authority", ODD],
    "web serve": [ODD],
    "admin audit": [],
    "admin audit-log": [],
    "admin grant": [ODD],
    "admin revoke": [ODD],
    "admin unlock": [ODD],
    "admin review": [ODD, "--accept"],
    "admin invite": [ODD],
    "registrar init": ["ca.pem/" + ODD, "--page", "https://door.example"],
    "registrar serve": [ODD],
    "registrar list": [ODD],
    "registrar revoke": [ODD, ODD],
    "gallery change": [ODD],
    "gallery recipients": ["-o", ODD],
    "gallery export": [ODD, "--to", ODD, "--recipients", ODD, "-o", ODD],
    "gallery import": [ODD, ODD, "--from", ODD],
    "gallery create": [ODD],
    "gallery delete": [ODD],
    "gallery list": [],
    "gallery show": [ODD],
    "admin rights": [],
    "admin refresh": [],
    "admin recover": ["1", "--yes"],
}


def commands(group: Any, prefix: str = "") -> dict[str, Any]:
    """Every command of the program, by its name."""
    found = dict[str, Any]()
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


COMMANDS = commands(typer.main.get_command(app))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, answer: str = "") -> int:
    monkeypatch.setattr(sys, "argv", ["visard", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    return cli.run()


def alone(program: str, folder: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """A program of its own, with the command line imported."""
    command = [sys.executable, "-c", f"import sys; from visard import cli; {program}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)


def every_command__should_stand_in_the_table() -> None:
    assert set(COMMANDS) == set(ARGUMENTS)


def help__should_say_in_two_lines_what_visard_is() -> None:
    assert len(textwrap.wrap(typer.main.get_command(app).help or "", 78)) == 2


@pytest.mark.parametrize("command", sorted(COMMANDS))
def help_of_a_command__should_be_sentences(command: str) -> None:
    text = " ".join((COMMANDS[command].help or "").split())
    assert text[0].isupper()
    assert text[-1] in ".?"
    assert len(re.split(r"[.?]( |$)", text, maxsplit=1)[0].split()) >= 3, "a sentence has a verb"


@pytest.mark.parametrize("command", ["", "verify", "train", "model publish"])
def help__should_load_no_library_for_networks_or_pictures(command: str) -> None:
    heavy = "{'torch', 'matplotlib', 'safetensors', 'cv2'} & set(sys.modules)"
    done = alone(f"sys.argv = ['visard', *{command.split()!r}, '--help']; cli.run(); print({heavy}, file=sys.stderr)")
    assert "Usage: visard" in done.stdout
    assert done.stderr == "set()\n"


@pytest.mark.parametrize("command", ["evaluate a.txt a", "train resnet-entropy a -o a.safetensors", "model publish"])
def owners_command_without_torch__should_say_what_to_install(command: str, tmp_path: Path) -> None:
    program = f"sys.modules['torch'] = None; sys.argv = ['visard', *{command.split()!r}]; sys.exit(cli.run())"
    done = alone(program, tmp_path)
    assert done.returncode == 2
    assert done.stderr == "visard: this needs torch, which is not installed: pip install 'visard[owner]'\n"


def torch_and_matplotlib__should_be_imported_by_owners_alone() -> None:
    home = Path(visard.__file__).parent
    heavy = re.compile(r"^\s*(?:import|from) (?:torch|matplotlib|safetensors)\b", re.MULTILINE)
    found = {path.relative_to(home).parts[0] for path in home.rglob("*.py") if heavy.search(path.read_text())}
    assert found == {"owner"}


@pytest.mark.parametrize("command", sorted(set(ARGUMENTS) - {"up"}))
def command_that_fails__should_end_with_two_and_one_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ca.pem").touch()
    monkeypatch.setenv("VISARD_HOME", str(tmp_path / "[no] home"))
    assert run(monkeypatch, *command.split(), *ARGUMENTS[command]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1, shown.err
    assert shown.err.startswith("visard: ")
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def option_that_does_not_exist__should_end_with_two(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *command.split(), "--nonsense") == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.startswith("visard: ")) == ("", True)


@pytest.mark.parametrize("answer", ["n\n", "", "maybe\nn\n"])
def declined_question__should_end_with_two(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "admin", "recover", "1", answer=answer) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "failure",
    [
        ValueError("[/] not markup"),
        RuntimeError(""),
        OSError(28, "No space left on device", "[x]"),
        MemoryError(),
        NoFace("[b]"),
    ],
)
def whatever_goes_wrong_inside__should_be_a_line(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(sys.modules["visard.cli.subjects"], "with_client", failing)
    assert run(monkeypatch, "list", "--json") == 2
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert str(failure.args[-1] if failure.args else "") in shown.err


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Double]:
    """A double, and a home that leads to it."""
    certs.init(tmp_path / "certs")
    async with serving(tmp_path / "certs") as (double, connection):
        (tmp_path / "client.toml").write_text(f'gateway = "{connection.gateway}"\ncerts = "certs"\n')
        yield double


async def started(home: Path, *arguments: str, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    program = "import sys; from visard.cli import main; main()"
    environment, pipe = os.environ | {"VISARD_HOME": str(home)}, asyncio.subprocess.PIPE
    command = sys.executable, "-c", program, *arguments
    return await asyncio.create_subprocess_exec(*command, env=environment, stdout=stdout, stderr=pipe)


async def closed_pipe__should_not_look_like_no_match(served: Double, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await started(tmp_path, "list", stdout=writing)
    os.close(writing)
    _, told = await process.communicate()
    assert process.returncode == 2, told
    assert b"Traceback" not in told


async def interrupted_command__should_end_with_130_and_say_what_is_open(served: Double, tmp_path: Path) -> None:
    served.pause = LONG
    process = await started(tmp_path, "delete", "ann", "--json")
    async with asyncio.timeout(60):
        while not served.calls["GetParties"]:
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    answer, told = await process.communicate()
    assert (process.returncode, answer) == (130, b""), told
    assert b"may have been done" in told
    assert b"Traceback" not in told


def long_lines__should_not_be_broken_in_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / ("x" * 200)
    assert run(monkeypatch, "list", "--home", str(home)) == 2
    assert str(home) in capsys.readouterr().err


def note__should_be_exported_as_it_was_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from visard.results import StoredReference

    rows = [StoredReference("r" * 32, 1, 0, 0, None, note) for note in ("Tür 7".encode(), b"\xff")]
    monkeypatch.setattr(sys.modules["visard.cli.subjects"], "with_client", lambda *_, **__: rows)
    assert run(monkeypatch, "export", "ann", "--json") == 0
    text, raw = json.loads(capsys.readouterr().out)["references"]
    assert (text["note"], "note" in raw, raw["metadata"]) == ("Tür 7", False, "ff")
