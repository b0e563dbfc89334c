"""Make the users on an empty data directory, then become mongod with the arguments that were given."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

Documents = MongoClient[dict[str, Any]]
MONGOD = "/opt/mongodb/mongod"
DATA = Path("/data/db")
PORT = "27117"


def make_users() -> None:
    """root, as MONGO_INITDB_ROOT_USERNAME_FILE and _PASSWORD_FILE say, and the party's, as user.js would with mongosh."""
    command = [MONGOD, "--dbpath", str(DATA), "--bind_ip", "127.0.0.1", "--port", PORT, "--logpath", "/tmp/first.log"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    files = (os.environ[f"MONGO_INITDB_ROOT_{what}_FILE"] for what in ("USERNAME", "PASSWORD"))
    root, root_password = (Path(file).read_text() for file in files)
    party, party_password = (Path("/password", what).read_text() for what in ("username", "password"))
    may = json.loads(Path("/docker-entrypoint-initdb.d/user.json").read_text())
    with Documents("127.0.0.1", int(PORT), serverSelectionTimeoutMS=1000) as client:
        while not answers(client):
            if server.poll() is not None:
                sys.exit(Path("/tmp/first.log").read_text()[-2000:])
            time.sleep(0.2)
        client.admin.command("createUser", root, pwd=root_password, roles=["root"])
        client[may["database"]].command("createUser", party, pwd=party_password, roles=may["roles"])
    server.terminate()
    server.wait()


def answers(client: Documents) -> bool:
    """Whether the server has started."""
    try:
        return bool(client.admin.command("ping"))
    except PyMongoError:
        return False


if not (DATA / "WiredTiger").exists():
    make_users()
os.execv(MONGOD, [MONGOD, "--dbpath", str(DATA), "--wiredTigerCacheSizeGB", "0.25", *sys.argv[1:]])
