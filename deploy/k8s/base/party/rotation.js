// Run once, as user.js: the user with which the container "certificate" tells mongod that its certificate was renewed. It may
// say that, and nothing else. On a database that is older than this file make it by hand (docs/operations.md).
const secret = (key) => require("fs").readFileSync(`/rotation-password/${key}`, "utf8").trim();
const admin = db.getSiblingDB("admin");
const privileges = [{ resource: { cluster: true }, actions: ["rotateCertificates"] }];
admin.createRole({ role: "rotation", privileges, roles: [] });
admin.createUser({ user: secret("username"), pwd: secret("password"), roles: ["rotation"] });
