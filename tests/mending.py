"""The cluster that tests share is made whole after each of them, whatever became of it."""

import signal

from visard.client import Connection
from visard.cluster import Cluster
from visard.errors import VisardError
from visard.results import Status
from visard.sync import SyncClient

from tests.waiting import PATIENCE, becomes


def mend(cluster: Cluster) -> None:
    """Start again what has ended, let go on what was stopped, and wait until all serve; raises where they do not."""
    for process in cluster.processes.values():
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
    ended = [name for name in cluster.names if not _runs(cluster, name)]
    for name in ended:
        if name in cluster.processes:
            cluster.buried(name)
    if ended:
        cluster.start(ended, PATIENCE)
    assert becomes(lambda: cluster.healthy("dealer")), cluster.last_words("dealer")
    assert becomes(lambda: _ready(cluster)), _status(cluster)


def restarted(cluster: Cluster, name: str) -> None:
    """Stop one service in order, start it again, and wait until all serve: parties compare what they hold first."""
    cluster.restart(name)
    mend(cluster)


def _runs(cluster: Cluster, name: str) -> bool:
    return name in cluster.processes and cluster.processes[name].poll() is None


def _ready(cluster: Cluster) -> bool:
    """Whether the gateway reaches all three parties, and none lacks anything."""
    try:
        return _status(cluster).ready
    except VisardError:
        return False


def _status(cluster: Cluster) -> Status:
    with SyncClient(Connection.from_home(cluster.home)) as client:
        return client.status()
