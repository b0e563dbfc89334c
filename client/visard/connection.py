"""Where the gateway is, and who calls it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from visard_wire.limits import MAX_MESSAGE

from visard.errors import InvalidRequest

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # a gateway that restarts is found again within a second or two
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@dataclass(frozen=True)
class Connection:
    """Where the gateway is and who we are: an address, and paths of PEM files.

    ``seen`` is a file that remembers the serials of the parties' sealing keys from one program to the next.
    ``proxy``: go through the proxy that http_proxy names in the environment; by default it is not asked.
    """

    gateway: str
    ca: Path
    cert: Path
    key: Path
    seen: Path | None = None
    proxy: bool = False

    @classmethod
    def from_home(cls, home: Path, role: str = "client") -> "Connection":
        """The connection that ``visard up`` has left in a directory; ``role`` names a certificate there:
        "verifier", "client" (an enroller), "owner", "admin", or one that was issued.

        Raises InvalidRequest for a directory that has none, or one that cannot be read.
        """
        path = home / "client.toml"
        if not path.exists():
            raise InvalidRequest(
                f"{path} does not exist: start the services with visard up, or name their directory (home)"
            )
        try:
            settings = tomllib.loads(path.read_text())
            gateway, certs = str(settings["gateway"]), home / str(settings["certs"])
        except (OSError, ValueError, KeyError) as error:
            raise InvalidRequest(f"{path}: TOML with gateway and certs: visard up writes it anew") from error
        proxy = bool(settings.get("proxy", False))
        pem = certs / "ca.pem", certs / f"{role}.pem", certs / f"{role}.key"
        return cls(gateway, *pem, seen=home / "sealing-serials.json", proxy=proxy)

    def read(self) -> tuple[bytes, tuple[bytes, bytes]]:
        """The authority's certificate, and our key and certificate, all PEM; raises InvalidRequest that names the file."""
        for path, what in ((self.ca, "certificate"), (self.cert, "certificate"), (self.key, "private key")):
            try:
                _parse(path, what)
            except FileNotFoundError as error:
                raise InvalidRequest(f"{path} does not exist: a {what} is needed there") from error
            except (OSError, ValueError, TypeError) as error:
                raise InvalidRequest(f"{path}: not a {what} in PEM") from error
        return self.ca.read_bytes(), (self.key.read_bytes(), self.cert.read_bytes())

    def options(self) -> list[tuple[str, int]]:
        """What every channel to the gateway is opened with: gRPC's names and values."""
        return [*OPTIONS, ("grpc.enable_http_proxy", int(self.proxy))]


def _parse(path: Path, what: str) -> None:
    data = path.read_bytes()
    if what == "certificate":
        x509.load_pem_x509_certificates(data)
    else:
        serialization.load_pem_private_key(data, None)
