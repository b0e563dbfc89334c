/**
 * `node measuring.ts FOLDER`: a hundred captures and some verifications in a page, as FOLDER/ask.json says, for
 * tests/web/measuring.py. Seconds, and the memory that the page's process holds, are written there.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Visited, visit } from "./chromium.ts";
import type { Told } from "./page.ts";
import { files, scripts, serve } from "./site.ts";

interface Ask {
  program: string;
  site: string;
  gateway: string;
  ca: string;
  cert: string;
  key: string;
  page: { cert: string; key: string };
  subject: string;
  verifications: number;
}

const CAPTURES = 100;
const WARM = 20; // captures, after which compilers and pools have what they need
const FOLDER = process.argv[2] ?? ".";
const ASK = JSON.parse(readFileSync(join(FOLDER, "ask.json"), "utf8")) as Ask;
const { site, gateway, ca, cert, key, subject } = ASK;

/**
 * Bytes that the page's process holds for itself, its worker and wasm among them, once what nobody needs is gone. Frames of the camera
 * are in memory that the browser shares out, as much of it as it likes, and are not counted.
 */
async function held({ browser, tab }: Visited): Promise<number> {
  await tab.requestGC();
  for (const worker of tab.workers()) await worker.evaluate(() => (globalThis as unknown as { gc(): void }).gc());
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return Math.max(...processInfo.filter(({ type }) => type === "renderer").map(({ id }) => anonymous(id)));
}

function anonymous(id: number): number {
  const [, kilobytes = "0"] = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

async function verified({ ask }: Visited): Promise<Told[]> {
  const found: Told[] = [];
  await ask("enrol", subject);
  for (let k = 0; k < ASK.verifications; k++) found.push(await ask("verify", subject));
  await ask("forget", subject);
  return found;
}

const served = await files({ gateway, ca, cert, key });
const server = await serve(served, Number(new URL(site).port), ASK.page, gateway);
const started = performance.now();
const visited = await visit({ ...ASK, camera: join(FOLDER, "enrolled.mjpeg") });
try {
  const begun = (performance.now() - started) / 1000;
  await visited.ask("captures", WARM);
  const before = await held(visited);
  const { seconds, still } = await visited.ask("captures", CAPTURES);
  const after = await held(visited);
  const asked = ASK.verifications ? await verified(visited) : [];
  const answers = { begun, captures: seconds, still, before, after, asked, scripts: scripts(served) };
  writeFileSync(join(FOLDER, "answers.json"), JSON.stringify(answers));
} finally {
  await visited.browser.close();
  server.close();
}
