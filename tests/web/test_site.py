"""A site's folder: the release's files and what the site says of itself; its server sends these alone, each with its policy."""

import hashlib
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner
from visard import certs, pages, serving
from visard.cli.app import app
from visard.errors import InvalidRequest

GATEWAY = "https://gateway.example:7443"
FILES = {"index.html": b"<!doctype html>", "page.js": b"1", "assets/detector.wasm": b"\0asm"}
CONSENT = 'version = "2026-11"\nen = "I agree"\n'


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Pages as npm builds them, but for what is in them."""
    folder = tmp_path / "built"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in FILES.items()]
    (folder / pages.SUMS).write_text("".join(sums))
    return folder


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    certs.init(tmp_path / "certs", only=["client"])
    return tmp_path / "certs" / "ca.pem"


@pytest.fixture
def written(built: Path, authority: Path, tmp_path: Path) -> Path:
    """A site's folder, by the command."""
    consent = tmp_path / "consent.toml"
    consent.write_text(CONSENT)
    options = [
        "--authority",
        str(authority.parent),
        "--registrar",
        "https://registrar.example",
        "--consent",
        str(consent),
    ]
    arguments = ["web", "build", str(tmp_path / "site"), "--gateway", GATEWAY, *options, "--pages", str(built)]
    for _ in range(2):  # the second one takes the first one's place
        assert CliRunner().invoke(app, arguments).exit_code == 0
    return tmp_path / "site"


@pytest.fixture
def address(written: Path) -> Iterator[str]:
    with serving.Server(serving.Served.read(written), "127.0.0.1", 0, None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def site__should_be_the_releases_files_and_its_own_settings(written: Path, authority: Path) -> None:
    assert {str(one.relative_to(written)) for one in written.rglob("*") if one.is_file()} == {
        *FILES,
        pages.SUMS,
        pages.CONFIG,
        pages.HEADERS,
    }
    config = json.loads((written / pages.CONFIG).read_text())
    assert config == {
        "gateway": GATEWAY,
        "registrar": "https://registrar.example",
        "authority": authority.read_text(),
        "model": "face",
        "gallery": "default",
        "review": False,
        "views": ["enrol", "verify", "kiosk", "operator"],
        "consent": {"version": "2026-11", "text": {"en": "I agree"}},
    }
    told = (written / pages.HEADERS).read_text()
    assert f"connect-src 'self' {GATEWAY} https://registrar.example;" in told
    assert all(line.startswith("add_header ") and line.endswith('" always;') for line in told.splitlines())


def server__should_send_each_file_with_its_policy_and_nothing_else(address: str, written: Path) -> None:
    sent = {"/": FILES["index.html"], "/assets/detector.wasm": FILES["assets/detector.wasm"]}
    for path, data in {**sent, f"/{pages.CONFIG}": (written / pages.CONFIG).read_bytes()}.items():
        with urllib.request.urlopen(address + path) as answer:
            assert answer.read() == data
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe-inline" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Permissions-Policy"].startswith("camera=(self)")
    for path in (f"/{pages.HEADERS}", "/../certs/ca.key", "/assets/", "/%2e%2e/certs/ca.key"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + path)


def pages__should_be_refused_where_a_byte_was_changed(
    built: Path, written: Path, authority: Path, tmp_path: Path
) -> None:
    (written / "page.js").write_bytes(b"2")
    with pytest.raises(InvalidRequest, match=r"page\.js: not the file"):
        serving.Served.read(written)
    (built / "assets" / "detector.wasm").unlink()
    with pytest.raises(InvalidRequest, match="No such file"):
        pages.write(pages.Site(GATEWAY, authority), built, tmp_path / "other")
    (built / pages.SUMS).write_text(f"{'0' * 64}  ../certs/ca.key\n")
    with pytest.raises(InvalidRequest, match="not a file of the pages"):
        pages.files(built)
    with pytest.raises(InvalidRequest, match="make web-pages"):
        pages.files(tmp_path / "nothing")


def earlier_site__should_leave_nothing_but_what_is_nobodys(
    built: Path, written: Path, authority: Path, tmp_path: Path
) -> None:
    """What the sums do not list nobody would see."""
    site = pages.Site(GATEWAY, authority, views=("verify", "enrol"))
    digest = hashlib.sha256(b"1").hexdigest()
    (written / "old.js").write_bytes(b"1")
    with pytest.raises(InvalidRequest, match=r"old\.js: not of a site"):
        pages.write(site, built, written)
    with (written / pages.SUMS).open("a") as sums:
        sums.write(f"{digest}  old.js\n")
    pages.write(site, built, written)
    assert not (written / "old.js").exists()
    assert json.loads((written / pages.CONFIG).read_text())["views"] == ["verify", "enrol"]


@pytest.mark.parametrize("views", ["", "enrol,enrol", "enrol,key", "enrol,,verify"])
def views__should_be_those_that_there_are(views: str, authority: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"^views: of enrol"):
        pages.settings(pages.Site(GATEWAY, authority, views=tuple(views.split(","))))


@pytest.mark.parametrize("config", ["[]", "1", "{", "{}", '{"gateway": "https://a.example; script-src *"}'])
def server__should_refuse_settings_that_say_no_address(config: str, written: Path) -> None:
    (written / pages.CONFIG).write_text(config)
    with pytest.raises(InvalidRequest):
        serving.Served.read(written)


def server__should_turn_away_whoever_comes_when_it_is_full(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_MOST", 1)
    with serving.Server(serving.Served.read(written), "127.0.0.1", 0, None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with socket.create_connection(("127.0.0.1", server.server_address[1])) as first:
                first.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert first.recv(1)  # it has its place
                with socket.create_connection(("127.0.0.1", server.server_address[1])) as second:
                    assert second.recv(1) == b""
        finally:
            server.shutdown()
            thread.join()


def folder_of_others__should_be_left_alone(built: Path, authority: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not an empty folder"):
        pages.write(pages.Site(GATEWAY, authority), built, tmp_path)
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    "gateway",
    [
        "gateway.example",
        "http://gateway.example",
        "https://a.example/path",
        "https://a.example; script-src *",
        "https://*",
        "https://u:p@a.example",
        "https://a.example:99999",
        'https://a"b',
        "https://a.example?x",
        "HTTPS://A.example",
        "https://[2001:db8::1]:7443",
        "",
    ],
)
def gateway__should_be_an_address_that_a_policy_can_name(gateway: str, authority: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"^gateway: "):
        pages.settings(pages.Site(gateway, authority))


@pytest.mark.parametrize("gateway", [GATEWAY, "http://localhost:7306"])
def settings__should_have_the_address_as_it_is(gateway: str, authority: Path) -> None:
    assert pages.settings(pages.Site(gateway, authority))["gateway"] == gateway


def settings__should_have_each_operators_authority(tmp_path: Path) -> None:
    roles = {"gateway": "g", "dealer": "d", "party/0": "0", "party/1": "1", "party/2": "2", "enroller/*": "e"}
    for folder in roles.values():
        certs.init(tmp_path / folder, only=["client"])
    lines = [f'"{role}" = "{folder}/ca.pem"\n' for role, folder in roles.items()]
    (tmp_path / "roots.toml").write_text("".join(lines))
    told = pages.settings(pages.Site(GATEWAY, tmp_path / "roots.toml"))
    assert told["roots"] == {role: (tmp_path / folder / "ca.pem").read_text() for role, folder in roles.items()}
    assert "authority" not in told


@pytest.mark.parametrize(
    "text",
    ["", 'version = "1"', 'en = "x"', 'version = 1\nen = "x"', 'version = "1"\nen = " "', 'version = "1"\nfr = "x"'],
)
def consent__should_have_version_and_text(text: str, authority: Path, tmp_path: Path) -> None:
    (tmp_path / "consent.toml").write_text(text)
    with pytest.raises(InvalidRequest, match=r"consent\.toml: version"):
        pages.settings(pages.Site(GATEWAY, authority, consent=tmp_path / "consent.toml"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "0.0.0.0:8443"], "without TLS"),
        (["--listen", "nowhere"], "HOST:PORT"),
        (["--cert", "a.pem"], "both or neither"),
    ],
)
def server__should_refuse_what_no_camera_would_be_allowed_at(arguments: list[str], said: str, written: Path) -> None:
    outcome = CliRunner().invoke(app, ["web", "serve", str(written), *arguments])
    assert isinstance(outcome.exception, InvalidRequest)
    assert said in str(outcome.exception)
