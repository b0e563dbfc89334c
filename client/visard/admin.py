"""Audit: do the three parties hold the same references and rights, and if not, which differ?"""

from collections.abc import Sequence
from dataclasses import dataclass

from visard_wire.limits import MAX_PREFIXES
from visard_wire.v1 import gateway_pb2

from visard.client import Client

_DIGITS = "0123456789abcdef"

Nodes = tuple[gateway_pb2.AuditNode, ...]  # one a party


@dataclass(frozen=True)
class Difference:
    """A reference or a right that not all parties hold alike: each party's view of it, or None.

    A view is subject, model, version, and who enrolled it; a right has version 0, and whose it is in the last place.
    """

    reference_id: str
    parties: tuple[tuple[str, str, int, str] | None, ...]


@dataclass(frozen=True)
class Audit:
    """What was found: how many references and rights each party holds, what differs, and in how many steps that was found."""

    counts: tuple[int, ...]
    differences: tuple[Difference, ...]
    steps: int

    @property
    def clean(self) -> bool:
        """Whether all parties hold the same."""
        return not self.differences


async def audit(client: Client) -> Audit:
    """Compare hashes of ever smaller parts, sixteen to one, until the differing references are named.

    Ids are hashes, so parts shrink evenly: N references take about log16(N) steps, and never more than log2(N).
    """
    level = await _ask(client, [""])
    counts = tuple(node.count for node in level[0])
    found, steps = list[Difference](), 1
    while differing := [nodes for nodes in level if len({node.set_hash for node in nodes}) > 1]:
        large = [nodes for nodes in differing if any(len(node.rows) < node.count for node in nodes)]
        found += [row for nodes in differing if nodes not in large for row in _rows_that_differ(nodes)]
        if not large:
            break
        level = await _ask(client, [nodes[0].prefix + digit for nodes in large for digit in _DIGITS])
        steps += 1
    return Audit(counts, tuple(sorted(found, key=lambda row: row.reference_id)), steps)


async def _ask(client: Client, prefixes: Sequence[str]) -> list[Nodes]:
    """For each prefix what the three parties hold below it."""
    found = list[Nodes]()
    for start in range(0, len(prefixes), MAX_PREFIXES):
        parties = await client.audit_nodes(prefixes[start : start + MAX_PREFIXES])
        found += zip(*parties, strict=True)
    return found


def _rows_that_differ(nodes: Nodes) -> list[Difference]:
    tables = [
        {row.reference_id: (row.subject, row.model, row.version, row.enrolled_by) for row in node.rows}
        for node in nodes
    ]
    ids = sorted(set().union(*tables))
    views = [(name, tuple(table.get(name) for table in tables)) for name in ids]
    return [Difference(name, view) for name, view in views if len(set(view)) > 1]
