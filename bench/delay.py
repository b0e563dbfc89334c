"""Three network namespaces on one machine, joined by a slow link, for measuring what distance costs. Root only.

Each namespace has a TUN device; a thread of this process carries packets between them, each after a one-way delay and at
no more than a rate. Kernels without netem can do this, and TCP behaves as on a real path of that delay.
"""

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import select
import struct
import subprocess
import threading
import time
from types import TracebackType
from typing import Self

_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000
_CLONE_NEWNET = 0x40000000
_DEVICE = "slow0"
_MTU = 9000


class Link:
    """Namespaces for parties 0 to 2, every pair at the same delay. Use it as a context."""

    def __init__(self, delay_seconds: float, rate_bits: float) -> None:
        self._delay = delay_seconds
        self._byte_seconds = 8 / rate_bits if rate_bits else 0.0
        self._names = [f"visard-bench-{os.getpid()}-{party}" for party in range(3)]
        self.hosts = [f"10.213.7.{party + 1}" for party in range(3)]
        self._devices: list[int] = []
        self._stop = threading.Event()
        self._carrier = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> Self:
        """Make the namespaces and start carrying."""
        if os.geteuid() != 0:
            raise SystemExit("bench: --delay needs root, for network namespaces")
        for name, host in zip(self._names, self.hosts, strict=True):
            _ip("netns", "add", name)
            self._devices.append(_tun(name, host))
        self._carrier.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and remove the namespaces."""
        self._stop.set()
        if self._carrier.is_alive():
            self._carrier.join()
        for device in self._devices:
            os.close(device)
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)

    def inside(self, party: int, command: list[str]) -> list[str]:
        """The command, run in a party's namespace."""
        return ["ip", "netns", "exec", self._names[party], *command]

    def _carry(self) -> None:
        """Packets from one device wait their time, then go to the device of their destination."""
        poll = select.epoll()
        for device in self._devices:
            poll.register(device, select.EPOLLIN)
        waiting: list[tuple[float, int, int, bytes]] = []
        free, number = dict.fromkeys(itertools.permutations(range(3), 2), 0.0), itertools.count()
        while not self._stop.is_set():
            now = time.monotonic()
            pause = min(0.2, max(0.0, waiting[0][0] - now)) if waiting else 0.2
            for device, _ in poll.poll(pause):
                for packet in _read(device):
                    path = self._devices.index(device), packet[19] - 1  # last byte of the IPv4 destination
                    if path in free:
                        start = max(time.monotonic(), free[path])
                        free[path] = start + len(packet) * self._byte_seconds
                        heapq.heappush(waiting, (free[path] + self._delay, next(number), path[1], packet))
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, _, destination, packet = heapq.heappop(waiting)
                _write(self._devices[destination], packet)


def _read(device: int) -> list[bytes]:
    packets: list[bytes] = []
    while len(packets) < 256:
        try:
            packets.append(os.read(device, 65536))
        except BlockingIOError:
            break
    return [packet for packet in packets if packet[0] >> 4 == 4]


def _write(device: int, packet: bytes) -> None:
    with contextlib.suppress(BlockingIOError):  # the receiver's queue is full: the packet is lost, as on any network
        os.write(device, packet)


def _tun(namespace: str, host: str) -> int:
    """A TUN device with an address in a namespace; its descriptor stays with us."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", _DEVICE.encode(), _IFF_TUN_NO_PI))
        _ip("link", "set", "lo", "up")
        _ip("addr", "add", f"{host}/24", "dev", _DEVICE)
        _ip("link", "set", _DEVICE, "mtu", str(_MTU), "txqueuelen", "10000", "up")
    finally:
        libc.setns(home, _CLONE_NEWNET)
        os.close(home)
        os.close(there)
    return device


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
