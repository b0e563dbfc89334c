"""Where the gateway is, and who calls it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from visard_wire.limits import MAX_MESSAGE
from visard_wire.vouching import Trust, check_named, read_roots, read_table

from visard.errors import InvalidRequest

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # a gateway that restarts is found again within a second or two; an attempt to connect (min) has longer: it may be far
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@dataclass(frozen=True)
class Connection:
    """Where the gateway is and who we are: an address, and paths of PEM files.

    ``ca`` is the authority's certificate; or, where each operator has an authority of its own, a TOML file that says who
    vouches for whom, as ``visard certs trust`` writes it (roots.toml).
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

        Raises InvalidRequest for a directory that has none, one that cannot be read, or one with two kinds of authorities.
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
        pem = authority(certs), certs / f"{role}.pem", certs / f"{role}.key"
        return cls(gateway, *pem, seen=home / "sealing-serials.json", proxy=proxy)

    def read(self) -> tuple[bytes, tuple[bytes, bytes]]:
        """The gateway's roots, and our key and certificate, all PEM; raises InvalidRequest that names the file."""
        trust = read_trust(self.ca)
        for path, what in ((self.cert, "certificate"), (self.key, "private key")):
            _check(path, what)
        return trust.pem("gateway"), (self.key.read_bytes(), self.cert.read_bytes())

    def options(self) -> list[tuple[str, int]]:
        """What every channel to the gateway is opened with: gRPC's names and values."""
        return [*OPTIONS, ("grpc.enable_http_proxy", int(self.proxy))]


def authority(certs: Path) -> Path:
    """Where a directory says who vouches for whom: roots.toml, or else ca.pem. Raises InvalidRequest where it has both."""
    shared, separate = certs / "ca.pem", certs / "roots.toml"
    if separate.exists() and shared.exists():
        raise InvalidRequest(f"{certs}: has both ca.pem and roots.toml: keep the one that is meant")
    return separate if separate.exists() else shared


def read_trust(path: Path) -> Trust:
    """Whom to believe, from a PEM file of one authority or a TOML file of each role's; raises InvalidRequest."""
    if path.suffix != ".toml":
        _check(path, "certificate")
        return Trust.one(path.read_bytes())
    try:
        table = read_table(path)
        check_named(table, ["gateway"])
        return read_roots(table)
    except FileNotFoundError as error:
        raise InvalidRequest(f"{path}: {error.filename} does not exist") from error
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.filename} cannot be read") from error
    except ValueError as error:
        raise InvalidRequest(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error


def _check(path: Path, what: str) -> None:
    try:
        _parse(path, what)
    except FileNotFoundError as error:
        raise InvalidRequest(f"{path} does not exist: a {what} is needed there") from error
    except (OSError, ValueError, TypeError) as error:
        raise InvalidRequest(f"{path}: not a {what} in PEM") from error


def _parse(path: Path, what: str) -> None:
    data = path.read_bytes()
    if what == "certificate":
        x509.load_pem_x509_certificates(data)
    else:
        serialization.load_pem_private_key(data, None)
