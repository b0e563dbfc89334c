"""What each operation does at a party: what it reads, the kits it takes, the protocol it runs, what it writes."""

from collections.abc import Mapping

from visard_common.operations import Operation

from visard_party.operations import enrolment, granting, matching, publication, renewal, restoration, running
from visard_party.operations.base import Answer, Desk, Job, Work, signed_digest

JOBS: Mapping[int, Job] = {
    Operation.OPERATION_ENROL: enrolment.Enrol(),
    Operation.OPERATION_DELETE: enrolment.Delete(),
    Operation.OPERATION_RENAME: enrolment.RenameSubject(),
    Operation.OPERATION_EXPIRE: enrolment.Expire(),
    Operation.OPERATION_VERIFY: matching.Verify(),
    Operation.OPERATION_COMPARE: matching.Compare(),
    Operation.OPERATION_IDENTIFY: matching.Identify(),
    Operation.OPERATION_PUBLISH: publication.PublishModel(),
    Operation.OPERATION_WITHDRAW: publication.WithdrawModel(),
    Operation.OPERATION_REFRESH: renewal.Refresh(),
    Operation.OPERATION_RECOVER: restoration.Recover(),
    Operation.OPERATION_GRANT: granting.GrantRight(),
    Operation.OPERATION_REVOKE: granting.RevokeRight(),
    Operation.OPERATION_RUN: running.RunModel(),
}

__all__ = ["JOBS", "Answer", "Desk", "Job", "Work", "signed_digest"]
