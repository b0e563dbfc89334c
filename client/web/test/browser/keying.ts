/**
 * `node keying.ts FOLDER`: somebody opens an invitation in Chromium, as FOLDER/ask.json says, for tests/web/test_keys.py: has a key,
 * asks with it, comes back, renews it. What was answered, and all that left the page, are written there.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { visit } from "./chromium.ts";
import type { Keyed } from "./keyed.ts";
import { files, serve } from "./site.ts";

interface Ask {
  program: string;
  site: string;
  gateway: string;
  registrar: string;
  ca: string;
  cert: string;
  key: string;
  page: { cert: string; key: string };
  link: string;
  subject: string;
  photos: string[];
}

const FOLDER = process.argv[2] ?? ".";
const ASK = JSON.parse(readFileSync(join(FOLDER, "ask.json"), "utf8")) as Ask;
const { site, gateway, registrar, ca, subject, photos } = ASK;
const sent: { url: string; body: string; authorization: string }[] = [];
const served = await files({ gateway, registrar, ca }, "keyed.ts");
const server = await serve(served, Number(new URL(site).port), ASK.page, gateway, registrar);

// the certificate that it has is for nobody here: the page is to have its own
const visited = await visit<Keyed>(
  { ...ASK, site: ASK.link, gateway: "https://nobody.example", camera: "/dev/null" },
  (context) => {
    context.on("request", (request) => {
      const { authorization = "" } = request.headers();
      sent.push({ url: request.url(), body: request.postDataBuffer()?.toString("base64") ?? "", authorization });
    });
  },
);
const { ask, tab } = visited;
try {
  const [first = "", same = ""] = photos;
  const invited = await ask("state");
  const enrolled = await ask("enrol", subject, first);
  await ask("raise", 7);
  await tab.goto(site);
  await tab.waitForSelector("html[data-begun]");
  const answers = {
    invited,
    enrolled,
    again: await ask("state"),
    serial: await ask("raise", 5),
    same: await ask("verify", subject, same),
    renewed: await ask("renew"),
    afterwards: await ask("verify", subject, same),
    read: await ask("read"),
    deleted: await ask("delete", subject),
    second: await ask("again", new URL(ASK.link).hash.slice("#invitation=".length)),
    forgotten: await ask("forget"),
  };
  writeFileSync(join(FOLDER, "answers.json"), JSON.stringify(answers));
  writeFileSync(join(FOLDER, "sent.json"), JSON.stringify(sent));
} finally {
  await visited.browser.close();
  server.close();
}
