"""A bill of materials lists what its image's lock lists, with the same hashes, and is the same bytes whenever it is made."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.deploy.test_locks import ROOT, entries

IMAGES = ("gateway", "dealer", "party", "client")


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "deploy" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bills(program: ModuleType) -> dict[str, str]:
    return {image: program.text_of(image) for image in IMAGES}


def listed(bom: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    """Name and version of each package, with its hashes."""
    found = dict[tuple[str, str], set[str]]()
    for component in bom["components"]:
        if component.get("purl", "").startswith("pkg:pypi/"):
            hashes = {given["content"] for where in component["externalReferences"] for given in where["hashes"]}
            found[canonicalize_name(component["name"]), component["version"]] = hashes
    return found


@pytest.mark.parametrize("image", IMAGES)
def bill__should_list_what_the_lock_lists(bills: dict[str, str], image: str) -> None:
    bom = json.loads(bills[image])
    assert listed(bom) == {
        (canonicalize_name(requirement.name), str(requirement.specifier).removeprefix("==")): {
            given.removeprefix("sha256:") for given in hashes
        }
        for requirement, hashes in entries(f"{image}.txt")
    }


def installed(stage: str) -> set[str]:
    """The packages of ours that a stage of deploy/Dockerfile has, with what it is built upon."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    found = re.search(rf"^FROM (\S+) AS {stage}$(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        return set()
    return installed(found[1]) | {name.replace("_", "-") for name in re.findall(r"/wheels/(\w+)-\*", found[2])}


@pytest.mark.parametrize("image", IMAGES)
def bill__should_name_image_packages_and_base(bills: dict[str, str], image: str) -> None:
    bom, whole_name = json.loads(bills[image]), f"visard-{image}"
    assert bom["metadata"]["component"]["name"] == whole_name
    others = {c["name"]: c for c in bom["components"] if not c.get("purl", "").startswith("pkg:pypi/")}
    assert others.keys() == {*installed(f"{image}-packages"), "docker.io/library/python"}
    assert whole_name not in {c["bom-ref"] for c in bom["components"]}
    assert f"@{others['docker.io/library/python']['version']}\n" in (ROOT / "deploy" / "Dockerfile").read_text()
    (whole, *parts) = bom["dependencies"]
    assert whole["ref"] == whole_name
    assert set(whole["dependsOn"]) == {part["ref"] for part in parts} == {c["bom-ref"] for c in bom["components"]}


def bill__should_be_the_same_bytes_again(program: ModuleType, bills: dict[str, str]) -> None:
    text = bills["gateway"]
    assert program.text_of("gateway") == text
    assert not {"serialNumber", "timestamp"} & (json.loads(text).keys() | json.loads(text)["metadata"].keys())
    assert not re.search(r"\d{4}-\d\d-\d\dT|urn:uuid", text)
    assert str(Path.cwd()) not in text


def bill_that_does_not_fit_the_schema__should_not_be_written(
    program: ModuleType, bills: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "packages", lambda _: {})
    monkeypatch.setattr(program, "completed", lambda *_: json.loads(bills["gateway"]) | {"colour": "green"})
    with pytest.raises(ValueError, match="gateway"):
        program.text_of("gateway")


STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: library
 of C

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: login
Status: install ok installed
Architecture: amd64
Version: 1:4.13+dfsg1-1
"""


def packages_of_debian__should_be_listed_where_their_state_is_given(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "status").write_text(STATUS)
    monkeypatch.setattr("sys.argv", ["sbom.py", "--dpkg", str(tmp_path / "status"), str(tmp_path), "gateway"])
    program.main()
    bom = json.loads((tmp_path / "visard-gateway.cdx.json").read_text())
    purls = [c["purl"] for c in bom["components"] if c.get("purl", "").startswith("pkg:deb/")]
    assert purls == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64",
        "pkg:deb/debian/login@1%3A4.13%2Bdfsg1-1?arch=amd64",
    ]
    assert set(purls) <= set(bom["dependencies"][0]["dependsOn"])


def make__should_know_every_image() -> None:
    (made,) = re.findall(r"^IMAGES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert tuple(made.split()) == IMAGES
    assert set(re.findall(r"-r locks/(\w+)\.txt", dockerfile)) - {"build"} == set(IMAGES)
