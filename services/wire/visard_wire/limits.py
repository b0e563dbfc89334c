"""Numbers that both ends of a call must have alike: change one at one end alone, and the other refuses what it sends.

What only a service judges by is in visard_common.limits. Sizes are bytes.
"""

PARTIES = 3

MAX_MESSAGE = 64 << 20  # of gRPC, from a service; and between parties, the sum of a message's pieces
CHUNK_BYTES = 64 << 10  # of an upload: six times as fast as 4 KiB
REQUEST_ID_BYTES = 16
ATTEMPT_BYTES = 16  # the name of one try at a request
KEY_ID_BYTES = 8
MAX_INSTEAD = 8  # earlier requests that a write stands for
MAX_PREFIXES = 256  # of an audit
MAX_RULES = 64  # of a gallery
DIGEST_BYTES = 32  # SHA-256
SERIES_BYTES = 16  # the name of one export
MAX_CROSSING = 128  # references of a page that goes to another deployment
CROSSING_AGE_MS = 24 * 3600 * 1000  # how old such a page may be when it arrives; as long is known what was erased there
LOCK_AFTER = (
    5  # failed verifications in a row that lock, unless something else is said; 2026-11: NIST SP 800-63B, 5.2.3
)
MAX_LOCK_AFTER = 100  # the same, 5.2.2
UNLOCK_AT_ONCE = 10_000  # subjects whose failures one request forgets
DEFAULT_GALLERY = "default"  # which always is, and is meant where none is named
