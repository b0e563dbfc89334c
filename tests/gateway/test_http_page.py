"""The commands of docs/http.md do what they say."""

import asyncio
import json
import os
import re
import shlex
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from visard_common.config import read
from visard_gateway.config import GatewayConfig
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.gateway.harness import PATIENCE, House, Operation, request, running, small_upload

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "http.md"
ADDRESS = "https://localhost:7306"


def commands(beginning: str) -> list[str]:
    """The page's lines that begin so, continuations joined."""
    lines = PAGE.read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(beginning)]


@pytest.fixture
async def house(folder: Path, tmp_path: Path) -> AsyncIterator[House]:
    """With a home in the current directory of what is run."""
    (tmp_path / ".visard").mkdir()
    shutil.copytree(folder, tmp_path / ".visard" / "certs")
    async with running(folder, http_listen="127.0.0.1:0") as house:
        yield house


async def run(words: list[str], home: Path, given: bytes = b"") -> bytes:
    # sed is gone before it could be given nothing
    process = await asyncio.create_subprocess_exec(*words, cwd=home, stdin=PIPE if given else DEVNULL, stdout=PIPE)
    async with asyncio.timeout(PATIENCE):
        found, _ = await process.communicate(given or None)
    assert process.returncode == 0, words
    return found


async def curl__should_do_for_status_lists_and_deletion(house: House, tmp_path: Path) -> None:
    asked = gateway_pb2.DeleteRequest(
        request=request(Operation.OPERATION_DELETE),
        envelopes=[common_pb2.SealedEnvelope(key_id=bytes(8), ciphertext=b"sealed") for _ in range(3)],
    )
    asked.request.caller.signature = bytes(64)
    (tmp_path / "delete.json").write_text(json_format.MessageToJson(asked))
    answers = {}
    for command in commands("curl "):
        words = shlex.split(command.replace(ADDRESS, house.http))
        answers[words[-1].rpartition("/")[2]] = json.loads(await run([*words, "--silent", "--show-error"], tmp_path))
    assert answers["openapi.json"]["openapi"] == "3.1.0"
    assert answers["GetStatus"]["ready"] is True
    assert answers["ListModels"]["models"] == [{"name": "face", "fieldBits": 31}]
    assert answers["ListSubjects"]["subjects"] == [{"subject": "ann", "references": 2}]
    assert answers["ListReferences"]["references"] == [{"referenceId": "0" * 32}]
    assert answers["Check"] == {"status": "SERVING"}
    assert answers["Delete"]["referencesDeleted"] == 2
    assert [party["party"] for party in answers["GetParties"]["parties"][1:]] == [1, 2]
    assert all(party.runs == [asked.request] for party in house.parties)


async def node__should_upload_in_one_request(house: House, tmp_path: Path) -> None:
    (script,) = re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "upload.mjs").write_text(script.replace(ADDRESS, house.http))
    (line,) = re.findall(r"node upload\.mjs", script)
    messages = small_upload(request(Operation.OPERATION_COMPARE))
    upload = "\n".join(json_format.MessageToJson(message, indent=None) for message in messages)
    program, *others = shlex.split(line)
    found = shutil.which(program, path=f"{ROOT / '.node' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert found is not None, "make test-web installs Node"
    answer, status = (await run([found, *others], tmp_path, upload.encode())).decode().splitlines()
    assert status == "status {}"
    result = json_format.Parse(answer.removeprefix("answer "), gateway_pb2.Result())
    assert [one.ciphertext for one in result.results] == [b"answer %d" % i for i in range(3)]
    assert all(party.runs == [messages[0].header.request] for party in house.parties)


async def setting__should_go_above_the_tables(tmp_path: Path) -> None:
    (tmp_path / ".visard").mkdir()
    path = tmp_path / ".visard" / "gateway.toml"
    path.write_text('listen = "a:1"\nparties = ["b:1", "b:2", "b:3"]\n\n[tls]\nca = "c"\ncert = "d"\nkey = "e"\n')
    (command,) = commands("sed ")
    await run(shlex.split(command), tmp_path)
    assert read(GatewayConfig, path).http_listen == ADDRESS.removeprefix("https://").replace("localhost", "127.0.0.1")
