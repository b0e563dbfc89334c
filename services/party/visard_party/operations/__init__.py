"""What each operation does at a party: what it reads, the kits it takes, the protocol it follows, what it writes.

``OPERATIONS`` has how it is done here for every number of ``common_pb2.Operation``; what each may hold and who may ask for it
is in ``visard_common.operations.DECLARED``.
"""

from collections.abc import Mapping

from visard_wire.v1 import common_pb2

from visard_party.operations import (
    calibration,
    changes,
    enrolment,
    evaluation,
    matching,
    migration,
    publication,
    searching,
)
from visard_party.operations.administration import ADMINISTRATION
from visard_party.operations.base import Operation

OPERATIONS: Mapping[int, Operation] = {
    common_pb2.OPERATION_ENROL: enrolment.Enrol(),
    common_pb2.OPERATION_DELETE: changes.Delete(),
    common_pb2.OPERATION_RENAME: changes.RenameSubject(),
    common_pb2.OPERATION_EXPIRE: changes.Expire(),
    common_pb2.OPERATION_VERIFY: matching.Verify(),
    common_pb2.OPERATION_COMPARE: matching.Compare(),
    common_pb2.OPERATION_IDENTIFY: searching.Identify(),
    common_pb2.OPERATION_PUBLISH: publication.PublishModel(),
    common_pb2.OPERATION_CALIBRATE: calibration.CalibrateModel(),
    common_pb2.OPERATION_WITHDRAW: changes.WithdrawModel(),
    common_pb2.OPERATION_UNLOCK: changes.Unlock(),
    common_pb2.OPERATION_REVIEW: changes.Review(),
    common_pb2.OPERATION_RUN: evaluation.EvaluateModel(),
    common_pb2.OPERATION_MIGRATE: migration.Migrate(),
    **ADMINISTRATION,
}
