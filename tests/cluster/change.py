"""What happens to a deployment that runs: a party killed, an upgrade, renewed certificates, a drain, and a bad version."""

import base64
import subprocess
from dataclasses import dataclass

from tests.cluster.callers import Callers, Load, certificate_shown, forwarded
from tests.cluster.failing import Failed, check, until
from tests.cluster.images import Pinned
from tests.cluster.kubectl import Object, is_ready, restarts
from tests.cluster.report import Step
from tests.cluster.world import GATEWAY_PORT, K8S, TRY, World

_UPGRADE_SECONDS = 1500.0
_MOUNT_SECONDS = 300.0  # the kubelet looks at Secrets every minute or two


def killed(world: World, step: Step) -> None:
    """kill -9 of each party in turn, and nothing is lost."""
    with world.callers() as callers:
        before = callers.held()
        for party in range(3):
            one_killed(world, party)
            callers.ready()
        step.saw(
            "`kill -9` of the process of each party, one after the other: each container began again, and all were ready again"
        )
        check(callers.held() == before, f"before {before}, after {callers.held()}")
        step.saw(f"references and rights are as before at all three: {before[0]}")
        step.saw(callers.verified())


def one_killed(world: World, party: int) -> None:
    """End a party's process, and wait until its container has begun again."""
    pod = f"party-{party}-0"
    before = restarts(world.kubectl.get("pod", pod, "-n", TRY), "party")
    world.kill(TRY, pod, "visard-party")

    def again() -> bool:
        found = world.kubectl.get("pod", pod, "-n", TRY)
        return restarts(found, "party") > before and is_ready(found)

    until(f"{pod} has begun again", again, 300)


def version_applied(world: World, pinned: Pinned) -> None:
    """Apply the overlay with these images."""
    world.kubectl("apply", "-k", world.trial(pinned))


def upgrade(world: World, wait: int = 600) -> str:
    """The script of the operator; what it says. Raises Failed."""
    done = upgrade_tried(world, wait)
    check(not done.returncode, f"upgrade.sh: {done.stdout[-1000:]}{done.stderr[-1500:]}")
    return done.stdout


def upgrade_tried(world: World, wait: int) -> subprocess.CompletedProcess[str]:
    """The script, whatever comes of it."""
    command = ["env", f"WAIT={wait}", "sh", str(K8S / "upgrade.sh"), TRY, "--kubeconfig", str(world.setting.kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, timeout=_UPGRADE_SECONDS, check=False)


def check_version(world: World, pinned: Pinned) -> None:
    """Raise Failed where a pod runs another image."""
    wanted = set(pinned.values())
    # a pod of before may still be ending
    pods = [p for p in world.kubectl.items("pods", "-n", TRY) if "deletionTimestamp" not in p["metadata"]]
    others = [f"{p['metadata']['name']}: {image}" for p in pods for image in images_of(p) if image not in wanted]
    check(not others, f"other images: {others}")


def images_of(pod: Object) -> list[str]:
    """The images of all containers of a pod."""
    spec = pod["spec"]
    return [container["image"] for container in (*spec["containers"], *spec.get("initContainers", ()))]


@dataclass(frozen=True)
class Server:
    """Something that shows a certificate, and the Secret that it is in."""

    secret: str
    target: str
    port: int


SERVERS = (
    Server("gateway-tls", "service/gateway", GATEWAY_PORT),
    Server("dealer-tls", "service/dealer", 7301),
    *(Server(f"party-tls-{i}", f"pod/party-{i}-0", 7310) for i in range(3)),
    *(Server(f"party-mongodb-tls-{i}", f"pod/party-mongodb-{i}-0", 27017) for i in range(3)),
)


def renewed(world: World, step: Step) -> None:
    """All certificates anew, also the databases', while verifications run; nothing restarts."""
    with world.callers() as callers:
        load = Load(callers)
        before = all_restarts(world)
        old = {server.secret: in_secret(world, server.secret) for server in SERVERS}
        with load.running():
            names = [server.secret for server in SERVERS]
            program = ("--", "python", "/program/certificates.py", "--renew", *names)
            world.kubectl("exec", "-n", TRY, "deployment/certificates", *program)
            for server in SERVERS:
                check(in_secret(world, server.secret) != old[server.secret], f"{server.secret} is the old one")
                shown(world, server)
        step.saw(
            f"renewed by `certificates.py --renew`, and shown to new connections: {', '.join(s.secret for s in SERVERS)}"
        )
        check(all_restarts(world) == before, "something was restarted")
        step.saw("no pod was replaced and no container restarted; mongod was told by the container beside it")
        step.saw(load.told())
        step.saw(after_reconnection(world, callers))


def after_reconnection(world: World, callers: Callers) -> str:
    """A party's process that is begun again finds its database under the new certificate."""
    one_killed(world, 1)
    callers.ready()
    return f"a party that was killed after it came back to its database: {callers.verified()}"


def all_restarts(world: World) -> dict[str, int]:
    """How often the containers of each pod were begun again, by its UID."""
    pods = world.kubectl.items("pods", "-n", TRY)
    return {p["metadata"]["uid"]: sum(s["restartCount"] for s in p["status"]["containerStatuses"]) for p in pods}


def in_secret(world: World, name: str) -> str:
    """The certificate in a Secret, in PEM."""
    data = world.kubectl.get("secret", name, "-n", TRY)["data"]["tls.crt"]
    return base64.b64decode(data).decode().replace("\n", "")


def shown(world: World, server: Server) -> None:
    """Wait until a server shows what is in its Secret."""
    wanted = in_secret(world, server.secret)
    with forwarded(world.kubectl, TRY, server.target, server.port) as port:
        until(f"{server.target} shows its new certificate", lambda: certificate_shown(port) == wanted, _MOUNT_SECONDS)


def reverted(world: World, step: Step) -> None:
    """A party that crashes stops the upgrade at one; the version before takes it back."""
    version_applied(world, world.images.crashing)
    done = upgrade_tried(world, wait=60)
    check(
        done.returncode == 1,
        f"upgrade.sh ended with status {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}",
    )
    pods = {p["metadata"]["name"]: p for p in world.kubectl.items("pods", "-n", TRY)}
    broken = [name for name, pod in pods.items() if world.images.crashing["party"] in images_of(pod)]
    check(len(broken) == 1, f"the bad version reached {broken}")
    step.saw(
        f"a version whose party crashes: `upgrade.sh` replaced `{broken[0]}`, saw no progress and ended with status 1"
    )
    step.saw("no other pod was touched")
    version_applied(world, world.images.second)
    upgrade(world)
    world.kubectl.wait_ready(TRY)
    check_version(world, world.images.second)
    step.saw(
        "applied the version before, and `upgrade.sh` once more: the pod that crashed was replaced, and all were ready"
    )
    with world.callers() as callers:
        callers.ready()
        step.saw(callers.verified())


def gone(world: World, step: Step) -> None:
    """Delete the trial."""
    world.kubectl.delete_namespaces(TRY)
    if world.kubectl.exists("namespace", TRY):
        raise Failed(f"{TRY} is still there")
    step.saw("deleted the namespace")
