"""Limits that services judge messages by: sizes, numbers and times beyond which one is refused. The same for every operator.

What callers must know as well, because both ends have it alike, is in visard_wire.limits.
What an operator may set (how many at a time, how long a run, how many attempts) is in each service's ``config``, with its
range. Sizes are bytes, times seconds unless their name says otherwise.
"""

LEADER, FOLLOWERS = 0, (1, 2)  # who orders the runs, and who follow
SESSION_BYTES = 16  # that name a run between parties

# messages and uploads
MAX_REQUEST = 2 << 20  # of gRPC, to any service: the largest carry a program
PIECE_BYTES = MAX_REQUEST - 1024  # of a message between parties: with its header, a request
UNREAD_BYTES = 1 << 20  # of a call, at a server: 50 MB/s a call with 20 ms between the two
LEAST_CHUNK_BYTES = 16 << 10  # but for the last: small ones cost us more than whoever sends them
MAX_SHARE_BYTES = 1 << 30
MAX_PROGRAM_BYTES = 1 << 20
MAX_PLAN_BYTES = 1 << 20
MAX_ENVELOPE_BYTES = 256  # sealed, without a share
MAX_TERMS_BYTES = 256 << 10  # the share of an Export: three keys with their certificates
MAX_CROSSING_BYTES = 4 << 20  # the share of an Import
CROSSING_BYTES = 256 << 10  # of a page: what is sealed in one piece, and what callers wrote with its references

# a request's fields
MAX_IMAGES = 16
MAX_REFERENCES = 64  # a subject and model
MAX_METADATA_BYTES = 4096
MAX_TTL_SECONDS = 10 * 366 * 24 * 3600
MAX_POINTS = 32  # operating points that a model is given in the place of its own
MAX_EXPIRY_MS = 10 * 60 * 1000  # how far ahead a request may expire, and how old it may be
MAX_AHEAD_MS = 60 * 1000  # how far ahead of ours the caller's clock may be
MAX_PAGE = 10_000  # subjects
MAX_ROWS = 1000  # rights, or entries of the log of who asked for what
MAX_GALLERIES = 1000
MAX_KITS = 16  # a call to the dealer

# calls on arrival
FIRST_SECONDS = 10.0  # for the first message of a call
IDLE_SECONDS = 20.0  # between two messages of a stream
ENDLESS = frozenset({"visard.v1.Peer/Exchange"})  # streams that live as long as their parties
CONNECTION_CALLS = 100  # at a time over one connection, but of the gateway and the parties
LOOKS, LOOKS_EACH = 64, 8  # calls of one method of health or reflection at a time: in all, and of one certificate
MAX_DRAINS = 32  # uploads that are turned away and read on, so that their callers see why
RETRY_SECONDS = 1.0  # after which a caller may try again
HANDSHAKE_SECONDS = 10.0
PROBE_SECONDS = 1.0  # for the message of a probe without TLS
PROBE_BYTES = 4096

# what goes back
MAX_TEXT = 200  # characters of a status's message, field and what is allowed: they travel in headers

# deadlines of calls that bring none of their own, and the longest of those that do
CALL_SECONDS = 120.0  # a caller's whole request: upload, queue, run, answer
UPLOAD_SECONDS = 60.0  # one share, at a party
FETCH_SECONDS = 120.0  # one kit, at a dealer that deals for three parties
CANCEL_SECONDS = 2.0
HELLO_SECONDS = 5.0  # the first message of a link between parties
UPLOAD_DRAIN_SECONDS = 1.0  # how long a refused upload is read on, so that its caller sees why
