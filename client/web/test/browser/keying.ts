/**
 * `node keying.ts FOLDER`: somebody opens an invitation in Chromium, as FOLDER/ask.json says, for tests/web/test_keys.py: has a key,
 * asks with it, comes back, renews it. What was answered, and all that left the page, are written there.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Visited, visit } from "./chromium.ts";
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

/** A browser of its own, which has no certificate for the gateway: the one that it has is for nobody here. */
async function before<T>(work: (ask: Visited<Keyed>["ask"], reload: () => Promise<void>) => Promise<T>): Promise<T> {
  const other = { ...ASK, site: ASK.link, gateway: "https://nobody.example", camera: "/dev/null" };
  const visited = await visit<Keyed>(other, (context) => {
    context.on("request", (request) => {
      const { authorization = "" } = request.headers();
      sent.push({ url: request.url(), body: request.postDataBuffer()?.toString("base64") ?? "", authorization });
    });
  });
  const reload = async (): Promise<void> => {
    await visited.tab.goto(site);
    await visited.tab.waitForSelector("html[data-begun]");
  };
  try {
    return await work(visited.ask, reload);
  } finally {
    await visited.browser.close();
  }
}

try {
  const [first = "", same = "", other = ""] = photos;
  const answers = await before(async (ask, reload) => {
    const invited = await ask("state");
    const enrolled = await ask("enrol", subject, first);
    await ask("raise", 7);
    await reload();
    return {
      invited,
      enrolled,
      again: await ask("state"),
      serial: await ask("raise", 5),
      same: await ask("verify", subject, same),
      other: await ask("verify", subject, other),
      renewed: await ask("renew"),
      afterwards: await ask("verify", subject, same),
      read: await ask("read"),
      deleted: await ask("delete", subject),
      second: await before((another) => another("state")),
      forgotten: await ask("forget"),
    };
  });
  writeFileSync(join(FOLDER, "answers.json"), JSON.stringify(answers));
  writeFileSync(join(FOLDER, "sent.json"), JSON.stringify(sent));
} finally {
  server.close();
}
