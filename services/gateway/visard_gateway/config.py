"""Configuration of the gateway."""

from typing import Annotated

from pydantic import Field
from visard_common.address import Address
from visard_common.config import ServiceConfig

_GRACE_SECONDS = 10.0

Origin = Annotated[str, Field(pattern=r"^https?://[^/\s*]+$")]


class GatewayConfig(ServiceConfig):
    """The gateway's settings."""

    parties: tuple[Address, Address, Address] = Field(description="addresses of parties 0, 1, 2")
    max_uploads: int = Field(default=64, ge=1, le=4096, description="requests at a time, mere looks aside")
    max_uploads_per_caller: int = Field(
        default=32, ge=1, le=4096, description="of these, requests of one certificate's role and name"
    )
    upload_timeout: float = Field(default=60.0, gt=0, le=600, description="longest upload in seconds")
    run_timeout: float = Field(default=60.0, gt=0, le=600, description="longest run in seconds, waiting included")
    status_timeout: float = Field(default=2.0, gt=0, le=60, description="seconds a party may take to say how it is")
    expiry_interval: float = Field(
        default=60.0, gt=0, le=86400, description="seconds between looks for references whose time is over"
    )
    connection_age: float = Field(
        default=300.0, ge=1, le=86400, description="seconds after which callers connect anew, and find new gateways"
    )
    admin_timeout: float = Field(default=600.0, gt=0, le=86400, description="longest refresh or recovery in seconds")

    http_listen: Address | None = Field(
        default=None, description="host:port for HTTP over TLS (Connect, gRPC-Web); absent: no such port"
    )
    http_origins: tuple[Origin, ...] = Field(
        default=(), description="whose pages may ask over HTTP from a browser, as in https://door.example"
    )

    @property
    def longest_call(self) -> float:
        """Seconds after which no call is under way any more."""
        return max(self.admin_timeout, self.upload_timeout + self.run_timeout) + _GRACE_SECONDS

    @property
    def longest_connection(self) -> float:
        """Seconds after which a connection of HTTP ends, whatever goes on there."""
        return self.connection_age + self.longest_call

    @property
    def connection_options(self) -> list[tuple[str, int]]:
        """For gRPC: a connection that is old takes no new calls, and ends when the last of its calls has."""
        return [
            ("grpc.max_connection_age_ms", int(self.connection_age * 1000)),
            ("grpc.max_connection_age_grace_ms", int(self.longest_call * 1000)),
        ]
