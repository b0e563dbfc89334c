/**
 * `node asking.ts FOLDER`: asks a real gateway as FOLDER/ask.json says, for tests/web/test_cluster.py: a subject enrolled, verified,
 * searched for, compared and forgotten. What the answers were, and all bytes that left, are written there.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { concat } from "../src/bytes.ts";
import { Client, ConnectTransport, type Picture, Signer, Trust, type VisardError, YuNet } from "../src/index.ts";

interface Ask {
  gateway: string;
  ca: string;
  cert: string;
  key: string;
  subject: string;
  photos: Record<"enrolled" | "same" | "other", { width: number; height: number }>;
}

const FOLDER = process.argv[2] ?? ".";
const ASK = JSON.parse(readFileSync(join(FOLDER, "ask.json"), "utf8")) as Ask;
const sent: Uint8Array[] = [];

/** fetch that shows a certificate, as a browser does with one that its user has chosen. */
const showing = (input: URL | RequestInfo, init: RequestInit = {}): Promise<Response> =>
  new Promise((resolve, reject) => {
    const { ca, cert, key } = ASK;
    const options = {
      method: init.method ?? "GET",
      headers: Object.fromEntries(new Headers(init.headers)),
      ca,
      cert,
      key,
    };
    const body = (init.body ?? new Uint8Array(0)) as Uint8Array;
    const asked = request(String(input), { ...options, servername: "localhost" }, async (answer) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of answer) pieces.push(piece as Uint8Array);
      const headers = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)]);
      resolve(new Response(concat(...pieces), { status: answer.statusCode ?? 0, headers }));
    });
    asked.on("error", reject);
    sent.push(body);
    asked.end(body);
  });

function photo(name: keyof Ask["photos"]): Picture {
  return { ...ASK.photos[name], data: new Uint8Array(readFileSync(join(FOLDER, `${name}.rgb`))) };
}

const client = new Client({
  transport: new ConnectTransport({ gateway: ASK.gateway, fetch: showing }),
  trust: Trust.one(ASK.ca),
  signer: await Signer.fromPem(ASK.cert, ASK.key),
  detector: await YuNet.load({ model: readFileSync(join(import.meta.dirname, "..", "assets", "yunet.onnx")) }),
});
const { subject } = ASK;
const options = { force: true };
const enrolment = await client.enrol(subject, [photo("enrolled")], options);
const same = await client.verify(subject, photo("same"), options);
const other = await client.verify(subject, photo("other"), options);
const found = await client.identify(photo("same"), options);
const compared = await client.compare(photo("same"), photo("enrolled"));
const forgotten = await client.delete(subject);
const missing = await client.verify(subject, photo("same"), options).catch((error: VisardError) => error.name);
const answers = {
  references: enrolment.references.length,
  same: same.match,
  other: other.match,
  found: found.subject,
  compared: compared.match,
  forgotten,
  missing,
  seconds: same.report.seconds,
};
writeFileSync(join(FOLDER, "sent.bin"), concat(...sent));
writeFileSync(join(FOLDER, "answers.json"), JSON.stringify(answers));
