"""Asking one service whether it serves: for probes and scripts.

``python -m visard.health ADDRESS`` is ``visard health ADDRESS`` without the image libraries: fit for a probe every second.
"""

import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from visard.errors import Unavailable

SECONDS = 2.0


def serving(
    address: str, pem: tuple[Path, Path, Path] | None = None, seconds: float = SECONDS, of: str = "gateway"
) -> bool:
    """Whether a service says that it serves; raises Unavailable when it does not answer, InvalidRequest for odd files.

    ``pem`` are paths of the authority's certificate (or of roots.toml, of which ``of`` names the service that is asked, as in
    "party/0"), our certificate and our key; None is for a port without TLS.
    """
    with _channel(address, pem, of) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else type(error).__name__
            raise Unavailable(f"{address} does not answer: {code}") from error
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(address: str, pem: tuple[Path, Path, Path] | None, of: str) -> grpc.Channel:
    if pem is None:
        return grpc.insecure_channel(address)
    from visard.connection import read_trust  # noqa: PLC0415 -- a probe every second needs none of it

    authority, cert, key = pem
    credentials = grpc.ssl_channel_credentials(read_trust(authority).pem(of), key.read_bytes(), cert.read_bytes())
    return grpc.secure_channel(address, credentials)


def main() -> None:
    """Exit status 0 for serving, 1 for not serving, 2 for no answer; a port without TLS only."""
    try:
        sys.exit(0 if serving(sys.argv[1]) else 1)
    except IndexError:
        sys.exit("an address is needed: host:port")
    except Unavailable as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
