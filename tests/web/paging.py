"""The pages for people as a site serves them, and somebody who uses them in a browser."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from visard import pages, serving
from visard.cluster import Cluster
from visard.invitations import invite
from visard.registrar import authority
from visard.registrar.config import Folder, Settings

from tests.conftest import http_address, page_address
from tests.web.browsing import ROOT, filmed, run, told
from tests.web.test_browser import PEOPLE
from tests.web.test_keys import serving as registrar

NAME = "desk"  # of the key that is invited
CONSENT = """\
version = "2026-11"
en = '''
An example: a site writes its own.

A template of my face is kept in three shares, at three parties, to recognise me at this door. None of them can see my face.
I can take this back at any time, on this page: then everything is erased.'''
de = '''
Ein Beispiel: jede Seite schreibt ihr eigenes.

Eine Vorlage meines Gesichts wird in drei Anteilen bei drei Parteien aufbewahrt, damit ich an dieser Tür erkannt werde.
Keine von ihnen kann mein Gesicht sehen. Ich kann dies jederzeit auf dieser Seite widerrufen: dann wird alles gelöscht.'''
"""


def built(folder: Path) -> Path:
    """The pages, bundled anew."""
    path = f"{ROOT / '.node' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    script = ROOT / "client" / "web" / "scripts" / "pages.ts"
    done = subprocess.run(
        ["node", script, folder], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"make test-web installs Node and packages: {done.stderr[-2000:]}"
    return folder


@contextmanager
def served(folder: Path, address: str, tls: tuple[Path, Path]) -> Iterator[None]:
    """A site's folder at an address of this machine."""
    with serving.Server(serving.Served.read(folder), "127.0.0.1", urlsplit(address).port or 0, tls) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def used(folder: Path, running: Cluster, lfw: Path, subject: str, **more: Any) -> Any:
    """What somebody was told who has used the pages: the answers of people.ts."""
    for name, photo in PEOPLE.items():
        filmed(lfw / photo, folder / f"{name}.mjpeg")
    held, address = running.home / "certs", page_address(running)
    files = {"cert": str(held / "client.pem"), "key": str(held / "client.key")}
    own = folder / "site"
    signs = Folder(folder / "registrar")
    authority.make(signs.path, held, Settings("127.0.0.1:0", f"{address}/", (address,)), ["localhost"])
    with registrar(signs) as signing:
        link = invite(signs.path, NAME, "client", None, 10).link
        told(folder, held, address, http_address(running), subject=subject, chosen=files, invitation=link, **more)
        (folder / "consent.toml").write_text(CONSENT)
        site = pages.Site(http_address(running), held / "ca.pem", signing, consent=folder / "consent.toml", review=True)
        pages.write(site, built(folder / "pages"), folder / "written")
        with served(folder / "written", address, (own / "page.pem", own / "page.key")):
            return run("people.ts", folder)
