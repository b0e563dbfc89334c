"""What tests of stores put into them."""

from visard_party.store.contents import ModelRecord, Reference
from visard_wire.secret import Secret

ONE, TWO, THREE = (bytes([k]) * 16 for k in (1, 2, 3))


def reference(name: str, subject: str = "ada", model: str = "face", expires: int = 0) -> Reference:
    """One that says in its share which it is."""
    born = 1_790_000_000_000
    share, who = Secret(name.encode() * 64), "enroller/kiosk-7"
    return Reference(name, subject, model, 1, born, born, expires, b"note", share, who)


def model(name: str = "face", weights: bytes = b"w" * 100) -> ModelRecord:
    """A model of nothing."""
    return ModelRecord(name, b'{"q":31}', 1, 5, Secret(weights))
