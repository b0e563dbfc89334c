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


def told(folder: Path, held: Path, site: str, gateway: str, **more: Any) -> None:
    """Write what a script is told. ``held``: certificates; whoever uses the page has the client's, its site a new one."""
    own = folder / "site"
    own.mkdir()
    for name in ("ca.pem", "ca.key"):
        shutil.copy(held / name, own)
    certs.issue(own, "page", "visard://verifier/page", ["localhost"])
    ask = {
        "program": chromium(),
        "site": site,
        "gateway": gateway,
        "ca": (own / "ca.pem").read_text(),
        "cert": (held / "client.pem").read_text(),
        "key": (held / "client.key").read_text(),
        "page": {"cert": (own / "page.pem").read_text(), "key": (own / "page.key").read_text()},
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
