// Tells mongod, in the same pod, to read its certificate, key and authority again; status 1 if it has not. What the server shows is
// not checked: the certificate may be over, or of an authority before, and that is why we are here. Nobody else listens in this pod,
// and SCRAM gives the password to no server that does not know it.
const fs = require("fs");
const secret = (key) => encodeURIComponent(fs.readFileSync(`/rotation-password/${key}`, "utf8").trim());
const options = "directConnection=true&tls=true&tlsAllowInvalidCertificates=true&serverSelectionTimeoutMS=10000";
const uri = `mongodb://${secret("username")}:${secret("password")}@127.0.0.1:27017/admin?${options}`;
const say = (event, more) => console.log(JSON.stringify({ event, ...more }));
try {
  connect(uri).adminCommand({ rotateCertificates: 1, message: "the mounted files have changed" });
  const { X509Certificate } = require("crypto");
  say("mongod has read its certificate", { until: new X509Certificate(fs.readFileSync("/pki/tls.crt")).validTo });
} catch (error) {
  say("mongod has not read its certificate: trying again", { error: error.message });
  process.exit(1);
}
