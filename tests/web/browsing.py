"""What tests in a real browser have: people before its camera, and a site on this machine."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from visard import certs
from visard.cluster import Cluster

from tests.conftest import http_address, page_address

ROOT = Path(__file__).parents[2]
SIZE = 1280, 720  # of a camera
SCRIPTS = ROOT / "client" / "web" / "test" / "browser"


def chromium() -> str:
    """The browser that is installed; a test that needs it fails without it."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.fail("missing: chromium (apt-get install --no-install-recommends chromium)", pytrace=False)
    return found


def filmed(photo: Path, file: Path) -> None:
    """What a camera sees before which somebody stands as in an LFW photo: one picture, which Chromium shows again and again."""
    picture = Image.new("RGB", SIZE, (90, 90, 90))
    with Image.open(photo) as person:
        side = SIZE[1]
        picture.paste(person.convert("RGB").resize((side, side), Image.Resampling.LANCZOS), ((SIZE[0] - side) // 2, 0))
    picture.save(file, "JPEG", quality=95)


def told(cluster: Cluster, folder: Path, **more: Any) -> None:
    """Write what a script is told: with the certificates of the page's server, and of who uses the page."""
    site = folder / "site"
    site.mkdir()
    for name in ("ca.pem", "ca.key"):
        shutil.copy(cluster.home / "certs" / name, site)
    certs.issue(site, "page", "visard://verifier/page", ["localhost"])
    held = {
        name: (cluster.home / "certs" / f"client.{kind}").read_text()
        for name, kind in (("cert", "pem"), ("key", "key"))
    }
    ask = {
        "program": chromium(),
        "site": page_address(cluster),
        "gateway": http_address(cluster),
        "ca": (site / "ca.pem").read_text(),
        **held,
        "page": {"cert": (site / "page.pem").read_text(), "key": (site / "page.key").read_text()},
        **more,
    }
    (folder / "ask.json").write_text(json.dumps(ask))


def run(script: str, folder: Path) -> Any:
    """The answers of a script that drives a browser."""
    path = f"{ROOT / '.node' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    trusted = {"NODE_EXTRA_CA_CERTS": str(folder / "site" / "ca.pem")}
    done = subprocess.run(
        ["node", SCRIPTS / script, folder],
        env=os.environ | {"PATH": path} | trusted,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"make test-web installs Node and packages: {done.stderr[-3000:]}"
    return json.loads((folder / "answers.json").read_text())
