"""Make the first user on an empty data directory, then become mongod with the arguments that were given."""

import os
import subprocess
import sys
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

MONGOD = "/opt/mongodb/mongod"
DATA = Path("/data/db")
PORT = "27117"


def make_user() -> None:
    """As MONGO_INITDB_ROOT_USERNAME_FILE and _PASSWORD_FILE say."""
    command = [MONGOD, "--dbpath", str(DATA), "--bind_ip", "127.0.0.1", "--port", PORT, "--logpath", "/tmp/first.log"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    files = (os.environ[f"MONGO_INITDB_ROOT_{what}_FILE"] for what in ("USERNAME", "PASSWORD"))
    name, password = (Path(file).read_text() for file in files)
    while True:
        try:
            with MongoClient("127.0.0.1", int(PORT), serverSelectionTimeoutMS=1000) as client:
                client.admin.command("createUser", name, pwd=password, roles=["root"])
            break
        except PyMongoError:
            if server.poll() is not None:
                sys.exit(Path("/tmp/first.log").read_text()[-2000:])
            time.sleep(0.2)
    server.terminate()
    server.wait()


if not (DATA / "WiredTiger").exists():
    make_user()
os.execv(MONGOD, [MONGOD, "--dbpath", str(DATA), "--wiredTigerCacheSizeGB", "0.25", *sys.argv[1:]])
