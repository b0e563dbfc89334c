"""Which gate the photos of a request have to pass (visard.capture.gates), by what is asked and at which operating point."""

from collections.abc import Sequence

from visard_wire.v1 import common_pb2

from visard.capture import ENROLMENT, Chip, Gate, Source, check_all, probe_gate
from visard.results import ModelInfo

Operation = common_pb2.Operation


def check(
    operation: int, operating_point: str, info: ModelInfo, photos: Sequence[Source | Chip], chips: Sequence[Chip]
) -> None:
    """Raises QualityError, which names the photo; a comparison takes photos as they are, and ready chips are not judged."""
    if (gate := _gate(operation, operating_point, info)) is not None:
        check_all(photos, chips, gate)


def _gate(operation: int, operating_point: str, info: ModelInfo) -> Gate | None:
    """A probe's by how often its point lets strangers in; a search that names none: as at the default."""
    if operation == Operation.OPERATION_ENROL:
        return ENROLMENT
    if operation not in (Operation.OPERATION_VERIFY, Operation.OPERATION_IDENTIFY):
        return None
    named = operating_point or "default"
    return probe_gate(next((point.false_match_rate for point in info.points if point.name == named), None))
