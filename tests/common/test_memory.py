"""What is freed of large arrays leaves the process at once."""

import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from visard_common.memory import OWN_PAGES_BYTES, give_back_large_arrays

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

{begin}
big = np.ones(30 << 20, np.uint8)  # glibc learns from the first one that is freed, and keeps the next ones
del big
before = resident()
large = [np.ones(OWN_PAGES_BYTES + 1, np.uint8) for _ in range(16)]
held = [np.ones(1 << 16, np.uint8) for _ in range(4)]  # above them: nothing below could be cut off the heap
del large
print(resident() - before)
"""


def _kept(begin: str) -> int:
    command = [sys.executable, "-c", PROGRAM.format(begin=begin)]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def freed_arrays__should_leave_the_process() -> None:
    assert _kept("give_back_large_arrays()") < 8 << 20
    assert _kept("") > 32 << 20, "or nobody needs this any more"
