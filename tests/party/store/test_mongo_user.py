"""A party's user of MongoDB reads and writes its own database and may do nothing else, whoever holds its password.

That the store works with exactly this user is what all other tests of the store on a replica set show: tests/mongod.py makes
it as a deployment does.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import OperationFailure
from visard_party.store import open_store
from visard_party.store.base import restored
from visard_party.store.contents import Change, Page, Place, Publish

from bench.mongod import PASSWORD, USER, Documents, Mongod
from tests.party.store.content import ONE, TWO, model, reference

PARTY = Path(__file__).parents[3] / "deploy" / "k8s" / "base" / "party"
UNAUTHORIZED = 13
OWN, OTHER = "own_party", "other_party"
ROLE = {"role": "readWrite", "db": OTHER}
# database, and what is asked of it
FORBIDDEN: list[tuple[str, dict[str, Any]]] = [
    (OTHER, {"find": "refs"}),
    (OTHER, {"listCollections": 1}),
    (OTHER, {"insert": "refs", "documents": [{"_id": "x"}]}),
    (OTHER, {"delete": "refs", "deletes": [{"q": {}, "limit": 0}]}),
    (OTHER, {"dropDatabase": 1}),
    (OTHER, {"usersInfo": 1}),
    ("admin", {"find": "system.users"}),
    ("admin", {"usersInfo": 1}),
    ("admin", {"createUser": "eve", "pwd": "hush", "roles": ["root"]}),
    ("admin", {"shutdown": 1}),
    ("admin", {"serverStatus": 1}),
    ("admin", {"currentOp": 1}),
    ("admin", {"getParameter": "*"}),
    ("admin", {"setParameter": 1, "logLevel": 1}),
    ("admin", {"getLog": "global"}),
    ("admin", {"replSetStepDown": 1, "force": True}),
    ("admin", {"replSetGetConfig": 1}),
    ("admin", {"renameCollection": f"{OTHER}.refs", "to": f"{OWN}.stolen"}),
    ("local", {"find": "oplog.rs"}),
    ("config", {"listCollections": 1}),
    (OWN, {"usersInfo": 1}),
    (OWN, {"createUser": "eve", "pwd": "hush", "roles": []}),
    (OWN, {"dropUser": USER}),
    (OWN, {"updateUser": USER, "roles": [ROLE]}),
    (OWN, {"grantRolesToUser": USER, "roles": [ROLE]}),
    (OWN, {"createRole": "more", "privileges": [], "roles": [ROLE]}),
    (OWN, {"profile": 2}),
]


@pytest.fixture(scope="module")
def filled(replica_set: Mongod) -> Mongod:
    """A server with a row in another party's database."""
    replica_set.uri(OTHER)
    with Documents(replica_set.root_uri()) as root:
        root[OTHER].refs.replace_one({"_id": "a"}, {"descriptor": b"share"}, upsert=True)
    return replica_set


@pytest.fixture
def user(filled: Mongod) -> Iterator[Documents]:
    with Documents(filled.uri(OWN)) as client:
        yield client


@pytest.mark.parametrize(("database", "command"), FORBIDDEN, ids=[f"{d}-{next(iter(c))}" for d, c in FORBIDDEN])
def partys_user__should_not(user: Documents, database: str, command: dict[str, Any]) -> None:
    with pytest.raises(OperationFailure) as refused:
        user[database].command(command)
    assert refused.value.code == UNAUTHORIZED


def partys_user__should_see_its_own_database_alone(user: Documents, filled: Mongod) -> None:
    user[OWN].refs.replace_one({"_id": "mine"}, {}, upsert=True)
    assert user.list_database_names() == [OWN]
    with Documents(filled.root_uri()) as root:
        assert {OWN, OTHER, "admin"} <= set(root.list_database_names())


def password__should_be_good_for_one_database(filled: Mongod) -> None:
    uri = filled.uri(OWN).replace(f"/{OWN}?", f"/{OWN}?authSource=admin&")
    with Documents(uri) as client, pytest.raises(OperationFailure, match="Authentication failed"):
        client.admin.command("ping")


async def store__should_need_no_more(filled: Mongod, tmp_path: Path) -> None:
    store = await open_store(filled.uri("needs"), tmp_path, 0)
    await store.stage(ONE, Change((reference("a"),)), b"1")
    await store.commit(ONE)
    await store.stage(TWO, Publish(model()), b"2")
    await store.commit(TWO)
    assert await store.references(Place("face"), "ada") == [reference("a")]
    assert await store.model("face") == model()
    await restored(store, Page([reference("b")], [model()]))
    assert await store.references(Place("face"), "ada") == [reference("b")]
    await store.close()


def script_of_the_deployment__should_make_this_user(filled: Mongod, tmp_path: Path) -> None:
    """user.js as the image's shell would run it, in node; what it asks of the server is done here."""
    for name, value in (("username", USER), ("password", f"{PASSWORD}\n")):
        (tmp_path / name).write_text(value)
    script = (PARTY / "user.js").read_text().replace("/docker-entrypoint-initdb.d/", f"{PARTY}/")
    shell = "const db = { getSiblingDB: (n) => ({ createUser: (u) => console.log(JSON.stringify([n, u])) }) };\n"
    node = shutil.which("node")
    assert node is not None, "this test runs JavaScript with node"
    (tmp_path / "run.js").write_text(shell + script.replace("/password/", f"{tmp_path}/"))
    done = subprocess.run([node, tmp_path / "run.js"], capture_output=True, text=True, timeout=60, check=True)
    database, asked = json.loads(done.stdout)
    assert database == "visard"
    assert asked == {"user": USER, "pwd": PASSWORD, "roles": [{"role": "readWrite", "db": "visard"}]}
    with Documents(filled.root_uri()) as root:
        root[database].command("createUser", asked.pop("user"), **asked)
        (made,) = root[database].command("usersInfo", USER)["users"]
        (tested,) = root[OWN].command("usersInfo", USER)["users"]
    assert [role["role"] for role in made["roles"]] == [role["role"] for role in tested["roles"]] == ["readWrite"]
