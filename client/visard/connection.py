"""Where the gateway is, and who calls it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from visard.errors import InvalidRequest

OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    # a gateway that restarts is found again within a second or two
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@dataclass(frozen=True)
class Connection:
    """Where the gateway is and who we are: an address, and paths of PEM files."""

    gateway: str
    ca: Path
    cert: Path
    key: Path

    @classmethod
    def from_home(cls, home: Path, role: str = "client") -> "Connection":
        """The connection that ``visard up`` has left in a directory; ``role`` names a certificate there:
        "verifier", "client" (an enroller), "owner", "admin", or one that was issued.
        """
        path = home / "client.toml"
        if not path.exists():
            raise InvalidRequest(f"{path} does not exist: start the services with visard up, or name --home")
        settings = tomllib.loads(path.read_text())
        certs = home / settings["certs"]
        return cls(settings["gateway"], certs / "ca.pem", certs / f"{role}.pem", certs / f"{role}.key")
