"""Whoever believes a certificate does so through visard_wire.vouching: a list of all places, so that none is forgotten."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("services", "client")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "_pb2" not in path.name and "/build/" not in str(path)
]


def places(pattern: str) -> dict[str, int]:
    """Files in which something stands, and how often."""
    found = {str(path.relative_to(ROOT)): len(re.findall(pattern, path.read_text())) for path in SOURCES}
    return {path: count for path, count in found.items() if count}


COMMON, WIRE, PARTY = "services/common/visard_common", "services/wire/visard_wire", "services/party/visard_party"


@pytest.mark.parametrize(
    ("what", "pattern", "expected"),
    [
        ("a chain is verified", r"PolicyBuilder\(|verify_directly_issued_by\(", {f"{WIRE}/vouching.py": 2}),
        (
            "a peer is called with roots",
            r"ssl_channel_credentials\(",
            {
                f"{COMMON}/tls.py": 1,  # of the role that is called
                "client/visard/calls.py": 1,  # the gateway's
                "client/visard/health.py": 1,  # of the service that is asked
            },
        ),
        (
            "callers are let in by TLS",
            r"ssl_server_certificate_configuration\(|ssl_server_credentials\(",
            {f"{COMMON}/tls.py": 2},
        ),
        (
            "a service listens with TLS",
            r"add_secure_port\(",
            {f"{COMMON}/lifecycle.py": 1},
        ),
        (
            "a server is made",
            r"grpc\.(aio\.)?server\(",
            {f"{COMMON}/lifecycle.py": 1, f"{COMMON}/probes.py": 1},  # the second without TLS and without roles
        ),
        (
            "a peer's certificate is read",
            r"auth_context\(",
            {
                f"{COMMON}/identity.py": 1,
                f"{COMMON}/vouching.py": 1,
                "services/gateway/visard_gateway/http/calls.py": 1,  # not read: told to the two, as gRPC tells it
                "services/gateway/visard_gateway/http/peers.py": 1,  # a word of its docstring
            },
        ),
        (
            "a channel is opened to a role",
            r"\b_?tls\.channel\(",
            {f"{COMMON}/channels.py": 1, f"{PARTY}/peers/links.py": 1},
        ),
        (
            "a channel is kept to a role",
            r"(?<!class )\bRenewed\(",
            {
                f"{PARTY}/kits/source.py": 1,
                f"{PARTY}/workers/one.py": 1,
                "services/gateway/visard_gateway/parties.py": 1,
            },
        ),
        (
            "a statement is believed",
            r"(?<!def )\b(verify_party_key|signed_by|signers)\(",
            {
                f"{WIRE}/partykeys.py": 1,
                f"{WIRE}/callers.py": 1,
                f"{WIRE}/crossing.py": 1,  # of another deployment's parties, by the roots that the operator has pinned for it
                f"{WIRE}/proofs.py": 1,
                f"{PARTY}/intake/callers.py": 1,
                f"{PARTY}/intake/sealingkeys.py": 1,
                f"{PARTY}/operations/leaving.py": 1,  # likewise
                "client/visard/trust.py": 1,
            },
        ),
        (
            "a proof of role is believed",
            r"(?<!def )(?<!\.)\bverify\([a-z_.]*trust, ",
            {"services/gateway/visard_gateway/http/proofs.py": 1, "client/visard/registrar/service.py": 1},
        ),
        (
            "one authority is believed for everybody",
            r"\bTrust\.one\(",
            {
                f"{COMMON}/tls.py": 1,
                f"{PARTY}/config.py": 1,  # of another deployment, where its parties have one
                "client/visard/connection.py": 1,
                "client/visard/registrar/service.py": 1,  # of itself: it renews what it has signed
            },
        ),
        (
            "the file of that authority is named",
            r"\btls\.ca\b|\bself\.ca\b|ca_pem",
            {f"{COMMON}/tls.py": 5, "client/visard/connection.py": 1},
        ),
    ],
)
def users_of_authorities__should_be_these(what: str, pattern: str, expected: dict[str, int]) -> None:
    assert places(pattern) == expected, what


def server_with_tls__should_say_who_vouches() -> None:
    """No caller has a role at one that does not, but none should be forgotten either."""
    assert places(r"VouchingInterceptor\(config\.tls\)") == {f"{COMMON}/lifecycle.py": 1}
