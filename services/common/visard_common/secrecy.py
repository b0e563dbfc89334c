"""What a process that holds shares and keys leaves to nobody: core dumps, and its memory to other processes of its user."""

import ctypes
import resource

import structlog

_PR_SET_DUMPABLE = 4  # linux/prctl.h

log = structlog.get_logger()


def keep_memory_private() -> None:
    """From here on a crash writes no memory to disk, and nobody but root can attach to this process (ptrace, /proc/PID/mem)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        refused = ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0
    except (AttributeError, OSError):  # not Linux
        refused = True
    if refused:
        log.warning("this system does not keep other processes of this user out of our memory")
