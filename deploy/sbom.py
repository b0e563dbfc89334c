"""``python deploy/sbom.py [--dpkg STATUS] FOLDER IMAGE ...``: a bill of materials for each image, in CycloneDX, from its lock.

The packages and their hashes are read by cyclonedx-py. Added here: which image it is, our own packages in it, and the image
that all are built upon, by its digest; and with --dpkg Debian's packages in that one, from its /var/lib/dpkg/status. The same
sources give the same bytes: there is no time and no serial number in it.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]
Bom = dict[str, Any]
# the packages of ours in each image, as deploy/Dockerfile installs them
OURS = {
    "client": ("visard", "visard-wire"),
    "gateway": ("visard-common", "visard-gateway", "visard-wire"),
    "dealer": ("visard-common", "visard-dealer", "visard-engine", "visard-wire"),
    "party": ("visard-common", "visard-engine", "visard-party", "visard-wire"),
}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dpkg", type=Path, help="the base image's /var/lib/dpkg/status")
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", nargs="+", choices=OURS, metavar="IMAGE")
    given = parser.parse_args()
    packages = debian(given.dpkg.read_text()) if given.dpkg else []
    given.folder.mkdir(parents=True, exist_ok=True)
    for image in given.images:
        path = given.folder / f"visard-{image}.cdx.json"
        path.write_text(text_of(image, packages))
        print(path)


def text_of(image: str, installed: list[Bom] | None = None) -> str:
    """The file for one image, with what else is installed in it; raises ValueError where it would not fit CycloneDX' schema."""
    text = json.dumps(completed(packages(image), image, installed or []), indent=2, sort_keys=True) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong:
        raise ValueError(f"{image}: {wrong}")
    return text


def packages(image: str) -> Bom:
    """What cyclonedx-py makes of an image's lock."""
    tool = Path(sys.executable).with_name("cyclonedx-py")
    lock = ROOT / "locks" / f"{image}.txt"
    # what it makes is looked at when it is complete
    options = ["--sv", "1.6", "--output-reproducible", "--short-PURLs", "--no-validate"]
    command = [tool, "requirements", *options, lock]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def debian(status: str) -> list[Bom]:
    """The packages that a dpkg status file says are installed."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status") == "install ok installed":
            name, version = fields["Package"], fields["Version"]
            purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={fields['Architecture']}"
            found.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    return sorted(found, key=lambda component: component["bom-ref"])


def completed(bom: Bom, image: str, installed: list[Bom]) -> Bom:
    """The same with the image, our packages, the base image and what is installed there, and who contains whom."""
    for component in bom["components"]:
        del component["description"]  # the line of the lock, with all its hashes, which are listed below it
        component["bom-ref"] = component["purl"]
    version = _found(r'__version__ = "([^"]+)"', "services/wire/visard_wire/version.py")
    name, digest = re.split("@sha256:", _found(r"^ARG BASE=(\S+)", "deploy/Dockerfile"))
    oci = f"pkg:oci/{name.rpartition('/')[2]}@sha256%3A{digest}?repository_url={name}"
    bom["components"] += [
        *({"type": "application", "bom-ref": f"package:{own}", "name": own, "version": version} for own in OURS[image]),
        {"type": "container", "bom-ref": oci, "name": name, "version": f"sha256:{digest}", "purl": oci},
        *installed,
    ]
    root = {"type": "container", "bom-ref": f"visard-{image}", "name": f"visard-{image}", "version": version}
    bom["metadata"]["component"] = root
    references = sorted(component["bom-ref"] for component in bom["components"])
    bom["dependencies"] = [{"ref": root["bom-ref"], "dependsOn": references}, *({"ref": ref} for ref in references)]
    return bom


def _found(pattern: str, path: str) -> str:
    found = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{path}: no {pattern}")
    return found[1]


if __name__ == "__main__":
    main()
