"""What a user installs: our wheels in an empty environment, outside the checkout, from a folder with packages of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.deploy.test_locks import HOMES, PROJECTS, ROOT

SECONDS = 540.0


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All seven, as the images build them."""
    folder = tmp_path_factory.mktemp("wheels")
    options = ["--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}"]
    command = [sys.executable, "-m", "pip", "wheel", *options, *map(str, PROJECTS.values())]
    subprocess.run(command, check=True, timeout=SECONDS)
    return folder


def each_package__should_carry_the_licence_and_the_notice() -> None:
    """As files of its own: a link would lead out of a source package."""
    for folder in PROJECTS.values():
        for name in ("LICENSE", "NOTICE"):
            assert not (folder / name).is_symlink()
            assert (folder / name).read_bytes() == (ROOT / name).read_bytes(), f"{folder.name}: {name}"


class Installation:
    """A virtual environment, and a folder in which somebody else works."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.work = folder / "venv" / "bin", folder / "work"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, timeout=SECONDS)
        for name in ("services", *HOMES):  # none of these is taken for ours
            (self.work / name).mkdir(parents=True)
            if name not in HOMES:
                (self.work / name / "__init__.py").write_text('raise ImportError("these are somebody else\'s")\n')

    def pip(self, *arguments: str | Path) -> None:
        subprocess.run([self.bin / "pip", "install", "--quiet", *arguments], check=True, timeout=SECONDS)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """What a program of this environment says."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VISARD_"))}
        command = [self.bin / arguments[0], *arguments[1:]]
        return subprocess.run(command, cwd=self.work, env=kept, capture_output=True, text=True, timeout=SECONDS)


def without_hashes(lock: str, folder: Path) -> Path:
    """The versions of a lock, to choose from."""
    path = folder / "constraints.txt"
    path.write_text("\n".join(re.findall(r"^[\w.-]+==\S+", (ROOT / "locks" / lock).read_text(), re.MULTILINE)))
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Installation:
    """``pip install visard``, and no extra."""
    folder = tmp_path_factory.mktemp("alone")
    made = Installation(folder)
    made.pip("--find-links", wheels, "--constraint", without_hashes("client.txt", folder), "visard")
    return made


def everything__should_be_in_the_wheels_and_nothing_else(wheels: Path) -> None:
    found = {path.name.split("-")[0]: set(ZipFile(path).namelist()) for path in wheels.iterdir()}
    assert found.keys() == HOMES.keys()
    for name, home in HOMES.items():
        sources = {
            f"{name}/{path.relative_to(home)}" for path in home.rglob("*.py*") if "__pycache__" not in path.parts
        }
        assert sources <= found[name]
        assert f"{name}/py.typed" in found[name]
        assert {path.partition("/")[0] for path in found[name] if ".dist-info/" not in path} == {name}
        assert {path.rpartition("/")[2] for path in found[name]} >= {"LICENSE", "NOTICE", "METADATA"}


@pytest.mark.timeout(900)
def everything__should_run_from_a_folder_that_has_services_of_its_own(
    tmp_path: Path, wheels: Path, photos: dict[str, Path]
) -> None:
    made = Installation(tmp_path)
    made.pip("--require-hashes", "--no-deps", "-r", ROOT / "locks" / "owner.txt")
    made.pip("torch==2.13.0")
    made.pip("--no-deps", "--no-index", *wheels.iterdir())
    done = made.run("visard", "demo", "--json", *(path.resolve() for path in photos.values()))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["match"], said["stranger_match"]) == (True, False), said
    where = made.run("python", "-P", "-c", "import visard_party, visard; print(visard_party.__file__, visard.__file__)")
    assert all(str(made.bin.parent) in path for path in where.stdout.split())


def library__should_work_alone(alone: Installation) -> None:
    code = "import visard; print([getattr(visard, name).__name__ for name in visard.__all__ if name != '__version__'])"
    done = alone.run("python", "-P", "-c", code)
    assert done.returncode == 0, done.stderr
    assert "Client" in done.stdout


def command_without_the_extra__should_name_it(alone: Installation) -> None:
    for program in (["visard", "--help"], ["python", "-P", "-m", "visard", "list"]):
        done = alone.run(*program)
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"visard: this needs typer.*: pip install 'visard\[cli\]'\n", done.stderr), done.stderr


@pytest.mark.timeout(900)
def each_command_without_its_extra__should_name_it(
    alone: Installation, wheels: Path, tmp_path: Path, photos: dict[str, Path]
) -> None:
    alone.pip("--find-links", wheels, "--constraint", without_hashes("client.txt", tmp_path), "visard[cli]")
    assert alone.run("visard", "--help").returncode == 0
    assert alone.run("visard", "certs", "init", tmp_path / "pki").returncode == 0
    pictures = [path.resolve() for path in photos.values()]
    for extra, command in (
        ("local", ["up"]),
        ("local", ["demo", *pictures]),
        ("owner", ["train", "resnet-entropy", tmp_path, "-o", "x.safetensors"]),
        ("owner", ["evaluate", tmp_path / "pairs.txt", tmp_path]),
        ("owner", ["model", "publish"]),
    ):
        done = alone.run("visard", *command)
        assert done.returncode == 2, command
        assert done.stderr.count("\n") == 1, done.stderr
        assert f"pip install 'visard[{extra}]'" in done.stderr, done.stderr
