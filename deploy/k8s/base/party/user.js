// The image of MongoDB runs this once, when its data directory is empty, after it has made root: the party's own user, which
// reads and writes the party's database and may do nothing else. user.json says what it may.
const fs = require("fs");
const text = (path) => fs.readFileSync(path, "utf8").trim();
const { database, roles } = JSON.parse(text("/docker-entrypoint-initdb.d/user.json"));
db.getSiblingDB(database).createUser({ user: text("/password/username"), pwd: text("/password/password"), roles });
