"""A registrar's directory: registrar.toml, its authority and its certificate for TLS, and the book of invitations."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from visard.errors import InvalidRequest

KINDS = ("verifier", "enroller")  # no registrar signs for others
ORIGIN = re.compile(r"https?://[^/\s*]+")
MAX_DAYS = 90


@dataclass(frozen=True)
class Settings:
    """What registrar.toml says. ``page``: where invitations lead; ``origins``: whose pages may ask from a browser."""

    listen: str
    page: str
    origins: tuple[str, ...]
    days: int = 7

    def __post_init__(self) -> None:
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise InvalidRequest("listen: host:port")
        page = urlsplit(self.page)
        if page.scheme not in ("http", "https") or not page.hostname or page.query or page.fragment:
            raise InvalidRequest("page: an address without ? and #, as in https://door.example/")
        if page.scheme == "http" and page.hostname not in ("localhost", "127.0.0.1"):
            raise InvalidRequest("page: https, but on this machine")
        if not all(ORIGIN.fullmatch(origin) for origin in self.origins):
            raise InvalidRequest("origins: as in https://door.example, without a path")
        if not 1 <= self.days <= MAX_DAYS:
            raise InvalidRequest(f"days: 1 to {MAX_DAYS}")

    @property
    def host(self) -> str:
        """Where it listens, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Its port; 0 for any that is free."""
        return int(self.listen.rpartition(":")[2])


@dataclass(frozen=True)
class Folder:
    """The files of a registrar."""

    path: Path

    @property
    def settings(self) -> Path:
        """TOML."""
        return self.path / "registrar.toml"

    @property
    def book(self) -> Path:
        """Invitations, what was signed and who was revoked."""
        return self.path / "registrar.db"

    @property
    def ca(self) -> Path:
        """Its authority's certificate, the newest first."""
        return self.path / "ca.pem"

    @property
    def tls(self) -> tuple[Path, Path]:
        """Certificate and key of its port."""
        return self.path / "tls.pem", self.path / "tls.key"

    def read(self) -> Settings:
        """What its file says; raises InvalidRequest."""
        if not self.settings.is_file():
            raise InvalidRequest(f"{self.settings} does not exist: visard registrar init makes it")
        try:
            found = tomllib.loads(self.settings.read_text())
            return Settings(**{**found, "origins": tuple(found.get("origins", ()))})
        except (ValueError, TypeError) as error:
            raise InvalidRequest(f"{self.settings}: TOML with listen, page, origins and days") from error
        except InvalidRequest as error:
            raise InvalidRequest(f"{self.settings}: {error}") from error


def toml(settings: Settings) -> str:
    """The settings as registrar.toml has them."""
    lines: dict[str, Any] = {
        "listen": settings.listen,
        "page": settings.page,
        "origins": list(settings.origins),
        "days": settings.days,
    }
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
