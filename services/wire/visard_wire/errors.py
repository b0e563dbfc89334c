"""What is wrong with a message, whoever reads it. The tree of all errors of the client is visard.errors."""

DEVIATES = "PARTY_DEVIATES"  # the reason in the google.rpc.ErrorInfo of an ABORTED that a party's deviation has caused

NOBODY_ENROLLED = (
    "nobody is enrolled"  # the text of the FAILED_PRECONDITION of a search where there is nobody to be found
)

# the text of the FAILED_PRECONDITION of a verification of somebody of whom too many in a row have failed
SUBJECT_LOCKED = "the subject is locked after too many failed verifications: an administrator can unlock it"


class VisardError(Exception):
    """Base of all errors of the client; its text is fit for a person."""


class RequestError(VisardError):
    """The request cannot be served as it is."""


class InvalidRequest(RequestError):
    """A field is wrong; the text names it and says what is allowed."""


class TrustError(VisardError):
    """An answer or a key does not verify."""


class UntrustedKey(TrustError):
    """A key that nobody vouches for whom we trust, or that is one of before."""


class SealError(TrustError):
    """A sealed message does not open."""

    def __init__(self) -> None:
        super().__init__("a sealed message does not open")
