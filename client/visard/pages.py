"""The pages for people, as a site serves them: the files that npm has built, and what the site says of itself (docs/web.md).

A site is a folder of static files. All but ``config.json`` and ``headers.conf`` are those of the release, byte for byte, which
``SHA256SUMS`` lists; what a site decides is in these two.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from visard_wire.limits import DEFAULT_GALLERY
from visard_wire.vouching import read_table

from visard.calls import DEFAULT_MODEL
from visard.connection import read_trust
from visard.errors import InvalidRequest

BUILT = Path(__file__).parents[1] / "web" / "build" / "pages"  # of a checkout
SUMS, CONFIG, HEADERS = "SHA256SUMS", "config.json", "headers.conf"
_SUM = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_./-]+)")
_LANGUAGES = ("en", "de")
_LOCAL = ("localhost", "127.0.0.1")
_REFUSED = ("microphone", "geolocation", "display-capture", "usb", "serial", "hid", "bluetooth", "midi", "payment")
VIEWS = ("enrol", "verify", "kiosk", "operator")


@dataclass(frozen=True)
class Site:
    """What a site says of itself: addresses as in ``https://gateway.example:7443``, without a path.

    ``authority`` is a PEM file, or roots.toml where each operator has an authority of its own. ``consent`` is a TOML file with
    ``version`` and its text, ``en`` or ``de`` or both; without one nobody is enrolled at the site. With ``review`` who may be
    enrolled under another name waits for a review. ``views`` are what the site shows, the first one where an address names none;
    the key's is always there.
    """

    gateway: str
    authority: Path
    registrar: str = ""
    model: str = DEFAULT_MODEL
    gallery: str = DEFAULT_GALLERY
    consent: Path | None = None
    review: bool = False
    views: tuple[str, ...] = VIEWS


def files(pages: Path) -> dict[str, bytes]:
    """What npm has built, by path, each as its sum says; raises InvalidRequest, for a file that was changed as well."""
    try:
        sums = _SUM.findall((pages / SUMS).read_text())
    except FileNotFoundError as error:
        raise InvalidRequest(f"{pages}: no pages there: make web-pages builds them") from error
    found = {name: _checked(pages, name, digest) for digest, name in sums}
    if "index.html" not in found:
        raise InvalidRequest(f"{pages / SUMS}: not the list of a release's pages")
    return found | {SUMS: (pages / SUMS).read_bytes()}


def _checked(pages: Path, name: str, digest: str) -> bytes:
    path = pages / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise InvalidRequest(f"{pages / SUMS}: {name}: not a file of the pages")
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}") from error
    if hashlib.sha256(contents).hexdigest() != digest:
        raise InvalidRequest(f"{path}: not the file that {SUMS} lists")
    return contents


def write(site: Site, pages: Path, folder: Path) -> None:
    """Write a site's folder, which is empty or an earlier one: nothing of that stays; raises InvalidRequest."""
    config, contents = json.dumps(settings(site), indent=2), files(pages)
    before = _before(folder)
    lines = [f'add_header {name} "{value}" always;\n' for name, value in headers(json.loads(config)).items()]
    contents |= {CONFIG: f"{config}\n".encode(), HEADERS: "".join(lines).encode()}
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name in before - set(contents):
        (folder / name).unlink()


def _before(folder: Path) -> set[str]:
    """The files of an earlier site, by path; raises InvalidRequest for anything else there: no sum would tell of it."""
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise InvalidRequest(f"{folder}: not a folder")
    there = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_symlink() or not one.is_dir()}
    known = {CONFIG, HEADERS, SUMS}
    if there and not known <= there:
        raise InvalidRequest(f"{folder}: not an empty folder, nor a site's")
    known |= {name for _, name in _SUM.findall((folder / SUMS).read_text())} if there else set()
    if there - known:
        raise InvalidRequest(f"{folder / min(there - known)}: not of a site: move it elsewhere")
    return there


def settings(site: Site) -> dict[str, object]:
    """A site's ``config.json``; raises InvalidRequest."""
    told: dict[str, object] = {"gateway": _origin("gateway", site.gateway)}
    if site.registrar:
        told["registrar"] = _origin("registrar", site.registrar)
    told |= _authorities(site.authority)
    told |= {"model": site.model, "gallery": site.gallery, "review": site.review, "views": list(_views(site.views))}
    if site.consent is not None:
        told["consent"] = _consent(site.consent)
    return told


def headers(config: Mapping[str, object]) -> dict[str, str]:
    """What a site's server sends with every file, by what ``config.json`` says; raises InvalidRequest."""
    if not isinstance(config, Mapping):
        raise InvalidRequest(f"{CONFIG}: an object")
    names = [name for name in ("gateway", "registrar") if name == "gateway" or config.get(name)]
    asked = " ".join(_origin(name, str(config.get(name))) for name in names)
    policy = {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'",  # ONNX Runtime is wasm
        "style-src": "'self'",
        "img-src": "data:",  # an icon that is empty
        "worker-src": "'self'",
        "connect-src": f"'self' {asked}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Permissions-Policy": "camera=(self), " + ", ".join(f"{feature}=()" for feature in _REFUSED),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }


def _origin(name: str, address: str) -> str:
    """An address that a policy may name: nothing of it could be read there as anything else."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    plain = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}"  # a policy names no address of IPv6
    known = parts.scheme == "https" or (parts.scheme == "http" and host in _LOCAL)
    if not known or not re.fullmatch(r"[a-z0-9.-]+", host) or plain != address.rstrip("/"):
        raise InvalidRequest(f"{name}: {address!r}: an address as in https://gateway.example:7443")
    return plain


def _views(given: tuple[str, ...]) -> tuple[str, ...]:
    if not given or len(set(given)) < len(given) or set(given) - set(VIEWS):
        raise InvalidRequest(f"views: of {', '.join(VIEWS)}, each once")
    return given


def _authorities(path: Path) -> dict[str, object]:
    """Certificates alone, whatever else is in the files."""
    read_trust(path)
    if path.suffix != ".toml":
        return {"authority": _certificates(path)}
    return {"roots": {pattern: _certificates(file) for pattern, file in read_table(path).items()}}


def _certificates(path: Path) -> str:
    found = x509.load_pem_x509_certificates(path.read_bytes())
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def _consent(path: Path) -> dict[str, object]:
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path}: TOML with version and en or de, the text of the consent") from error
    texts = {name: text for name in _LANGUAGES if isinstance(text := told.get(name), str) and text.strip()}
    version = told.get("version")
    if not isinstance(version, str) or not 0 < len(version) <= 64 or not texts or set(told) - {"version", *_LANGUAGES}:
        raise InvalidRequest(f"{path}: version, a text of at most 64 letters, and en or de, the text of the consent")
    return {"version": version, "text": texts}
