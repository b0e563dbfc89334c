"""The operations of administrators, by number."""

from collections.abc import Mapping

from visard_wire.v1 import common_pb2

from visard_party.operations import arrival, departure, galleries, granting, renewal, restoration
from visard_party.operations.base import Operation

ADMINISTRATION: Mapping[int, Operation] = {
    common_pb2.OPERATION_REFRESH: renewal.Refresh(),
    common_pb2.OPERATION_RECOVER: restoration.Recover(),
    common_pb2.OPERATION_GRANT: granting.GrantRight(),
    common_pb2.OPERATION_REVOKE: granting.RevokeRight(),
    common_pb2.OPERATION_CREATE_GALLERY: galleries.CreateGallery(),
    common_pb2.OPERATION_CHANGE_GALLERY: galleries.ChangeGallery(),
    common_pb2.OPERATION_DELETE_GALLERY: galleries.DeleteGallery(),
    common_pb2.OPERATION_EXPORT: departure.Export(),
    common_pb2.OPERATION_IMPORT: arrival.Import(),
}
