"""What a user installs: our wheels in an empty environment, outside the checkout, from a folder with packages of its own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution, requires
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.test_locks import ALONE, HOMES, PROJECTS, ROOT, applies, entries, versions

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


def needs(texts: Iterable[str]) -> Iterator[Requirement]:
    """Requirements and all that they ask for on this platform, by what each package says of itself."""
    waiting = [Requirement(text) for text in texts]
    seen: set[tuple[str, str]] = set()
    while waiting:
        asked = waiting.pop()
        for extra in {"", *asked.extras} - {extra for name, extra in seen if name == asked.name}:
            seen.add((asked.name, extra))
            yield asked
            found = map(Requirement, requires(asked.name) or ())
            waiting += [one for one in found if one.marker is None or one.marker.evaluate({"extra": extra})]


class Installation:
    """A virtual environment, and a folder in which somebody else works.

    Packages of others are links to the files of those that ``make`` has installed by the hashes of the lock: the very files that
    pip would unpack once more.
    """

    def __init__(self, folder: Path) -> None:
        self.bin, self.work = folder / "venv" / "bin", folder / "work"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=SECONDS)
        (self.site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        for name in ("services", *HOMES):  # none of these is taken for ours
            (self.work / name).mkdir(parents=True)
            if name not in HOMES:
                (self.work / name / "__init__.py").write_text('raise ImportError("these are somebody else\'s")\n')

    def link(self, packages: Iterable[Requirement]) -> None:
        """Packages of others, whole, at the versions that are asked for."""
        for package in packages:
            found = distribution(package.name)
            assert found.version in package.specifier, f"{package}, and make has installed {found.version}"
            for file in found.files or ():
                if os.pardir not in file.parts:  # a program, which nobody here starts
                    (self.site / file).parent.mkdir(parents=True, exist_ok=True)
                    if not (self.site / file).exists():  # of a namespace that several share
                        (self.site / file).symlink_to(str(found.locate_file(file)))

    def pip(self, *arguments: str | Path) -> None:
        """Install from files alone, or be told what is missing."""
        pip = [sys.executable, "-m", "pip", f"--python={self.bin / 'python'}"]
        subprocess.run([*pip, "install", "--quiet", "--no-index", *arguments], check=True, timeout=SECONDS)
        subprocess.run([*pip, "check"], check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """What a program of this environment says."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VISARD_"))}
        command = [self.bin / arguments[0], *arguments[1:]]
        return subprocess.run(command, cwd=self.work, env=kept, capture_output=True, text=True, timeout=SECONDS)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Installation:
    """``pip install visard``, and no extra."""
    made = Installation(tmp_path_factory.mktemp("alone"))
    made.link(others("visard"))
    made.pip("--find-links", wheels, "visard")
    return made


def others(text: str) -> list[Requirement]:
    """What packages of ours need of others'."""
    found = [one for one in needs([text]) if canonicalize_name(one.name) not in PROJECTS]
    assert {canonicalize_name(one.name) for one in found} - ALONE <= versions("owner.txt").keys()
    return found


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
@pytest.mark.long  # the demonstration once more, with kernels that nobody has compiled
def everything__should_run_from_a_folder_that_has_services_of_its_own(
    tmp_path: Path, wheels: Path, photos: dict[str, Path]
) -> None:
    made = Installation(tmp_path)
    made.link(requirement for requirement, _ in entries("owner.txt") if applies(requirement))
    made.link(needs(ALONE))
    made.pip("--no-deps", *wheels.iterdir())
    # five services at a time would each compile all kernels
    assert made.run("python", "-P", "-m", "visard_engine.warm").returncode == 0
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
    alone.link(others("visard[cli]"))
    alone.pip("--find-links", wheels, "visard[cli]")
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
