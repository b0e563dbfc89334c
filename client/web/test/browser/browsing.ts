/**
 * `node browsing.ts FOLDER`: people stand before the camera of a page in Chromium, as FOLDER/ask.json says, for
 * tests/web/test_browser.py: enrolled, verified, searched for. What the answers were, and all bytes that left, are written there.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BrowserContext } from "playwright-core";
import { type Visited, visit } from "./chromium.ts";
import { lies } from "./lying.ts";
import { files, scripts, serve } from "./site.ts";

/** What a script is told. */
interface Ask {
  program: string;
  site: string;
  gateway: string;
  ca: string;
  cert: string;
  key: string;
  page: { cert: string; key: string };
  subject: string;
  chip: string;
  shape: number[];
  files: Record<string, string>;
}

const FOLDER = process.argv[2] ?? ".";
const ASK = JSON.parse(readFileSync(join(FOLDER, "ask.json"), "utf8")) as Ask;
const { site, gateway, ca, cert, key, subject } = ASK;
const uploads: { method: string; body: string }[] = [];
const origins = new Set<string>();

/** All that a page sends is kept, whoever is to have it. */
function watch(context: BrowserContext): void {
  context.on("request", (request) => {
    const { origin, pathname } = new URL(request.url());
    origins.add(origin);
    const body = request.postDataBuffer();
    if (request.method() === "POST") uploads.push({ method: pathname, body: body?.toString("base64") ?? "" });
  });
}

async function before<T>(person: string, work: (visited: Visited) => Promise<T>): Promise<T> {
  const camera = join(FOLDER, `${person}.mjpeg`);
  const visited = await visit({ ...ASK, camera }, watch);
  try {
    const found = await work(visited);
    if (visited.wrongs.length) throw new Error(visited.wrongs.join("; "));
    return found;
  } finally {
    await visited.browser.close();
  }
}

async function readAll(ask: Visited["ask"]): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const [name, file] of Object.entries(ASK.files)) found[name] = await ask("read", file);
  return found;
}

const served = await files({ gateway, ca, cert, key });
const server = await serve(served, Number(new URL(site).port), ASK.page, gateway);
try {
  const enrolled = await before("enrolled", async ({ ask }) => ({
    hints: await ask("hints"),
    enrolled: await ask("enrol", subject),
    seen: await ask("seen", ASK.chip, ASK.shape),
    read: await readAll(ask),
  }));
  writeFileSync(join(FOLDER, "seen.json"), JSON.stringify(enrolled.seen));
  writeFileSync(join(FOLDER, "read.json"), JSON.stringify(enrolled.read));
  const same = await before("same", async (visited) => ({
    lies: await lies(visited, gateway, subject),
    verified: await visited.ask("verify", subject),
    identified: await visited.ask("identify"),
  }));
  const other = await before("other", async ({ ask }) => ({
    verified: await ask("verify", subject),
    identified: await ask("identify"),
    forgotten: await ask("forget", subject),
    missing: await ask("verify", subject),
  }));
  const { hints } = enrolled;
  const answers = { hints, enrolled: enrolled.enrolled, same, other, scripts: scripts(served), origins: [...origins] };
  writeFileSync(join(FOLDER, "answers.json"), JSON.stringify(answers));
  writeFileSync(join(FOLDER, "sent.json"), JSON.stringify(uploads));
} finally {
  server.close();
}
