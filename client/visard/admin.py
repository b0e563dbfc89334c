"""Audit: do the three parties hold the same references, and if not, which differ?"""

from collections.abc import Sequence
from dataclasses import dataclass

from visard.client import Client
from visard.v1 import gateway_pb2

_DIGITS = "0123456789abcdef"
_AT_ONCE = 256  # prefixes a question


@dataclass(frozen=True)
class Difference:
    """A reference that not all parties hold alike: each party's subject, model and version of it, or None."""

    reference_id: str
    parties: tuple[tuple[str, str, int] | None, ...]


@dataclass(frozen=True)
class Audit:
    """What was found: how many references each party holds, what differs, and in how many steps that was found."""

    counts: tuple[int, ...]
    differences: tuple[Difference, ...]
    steps: int

    @property
    def clean(self) -> bool:
        """Whether all parties hold the same."""
        return not self.differences


async def audit(client: Client) -> Audit:
    """Compare hashes of ever smaller parts, sixteen to one, until the differing references are named."""
    parties = await client.audit_nodes([""])
    counts = tuple(nodes[0].count for nodes in parties)
    open_prefixes = _differing(parties)
    found, steps = list[Difference](), 1
    while open_prefixes:
        split = list[str]()
        for start in range(0, len(open_prefixes), _AT_ONCE):
            chosen = open_prefixes[start : start + _AT_ONCE]
            parties = await client.audit_nodes(chosen)
            for nodes in zip(*parties, strict=True):
                if all(len(node.rows) == node.count for node in nodes):
                    found += _rows_that_differ(nodes)
                else:
                    split.append(nodes[0].prefix)
        children = [prefix + digit for prefix in split for digit in _DIGITS]
        open_prefixes = [
            prefix
            for start in range(0, len(children), _AT_ONCE)
            for prefix in _differing(await client.audit_nodes(children[start : start + _AT_ONCE]))
        ]
        steps += 1
    return Audit(counts, tuple(found), steps)


def _differing(parties: Sequence[Sequence[gateway_pb2.AuditNode]]) -> list[str]:
    return [nodes[0].prefix for nodes in zip(*parties, strict=True) if len({node.set_hash for node in nodes}) > 1]


def _rows_that_differ(nodes: Sequence[gateway_pb2.AuditNode]) -> list[Difference]:
    tables = [{row.reference_id: (row.subject, row.model, row.version) for row in node.rows} for node in nodes]
    ids = sorted(set().union(*tables))
    views = [(name, tuple(table.get(name) for table in tables)) for name in ids]
    return [Difference(name, view) for name, view in views if len(set(view)) > 1]
