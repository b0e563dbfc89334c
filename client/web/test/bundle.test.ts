/** What a page loads is small, and asks nothing of anybody but whom it is told. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { pages } from "../scripts/pages.ts";

const HOME = join(import.meta.dirname, "..");
const MOST = 150_000; // bytes of all scripts, gzipped, without wasm and the detector's file
const LOADER = join(HOME, "node_modules", "onnxruntime-web", "dist", "ort-wasm-simd-threaded.mjs"); // which ONNX Runtime asks for
const OPTIONS = {
  entryPoints: { index: join(HOME, "src", "index.ts"), worker: join(HOME, "src", "worker.ts") },
  bundle: true,
  splitting: true,
  minify: true,
  format: "esm",
  platform: "browser",
  logLevel: "silent",
} as const;

test("bundle should be small and name no server", async () => {
  const { outputFiles, warnings } = await build({ ...OPTIONS, outdir: HOME, write: false });
  assert.deepEqual(warnings, []);
  const scripts = [...outputFiles.map((file) => file.contents), readFileSync(LOADER)];
  const size = scripts.reduce((sum, contents) => sum + gzipSync(contents, { level: 9 }).length, 0);
  assert.ok(size <= MOST, `${size} bytes`);
  const servers = outputFiles.flatMap(({ text }) => text.match(/(https?|wss?):\/\/[a-z0-9-]+\.[a-z0-9.-]+/gi) ?? []);
  const shown = servers.filter(
    (server) => !/\/\/(web\.dev|github\.com|connectrpc\.com|onnxruntime\.ai|www\.w3\.org)/.test(server),
  );
  assert.deepEqual(shown, []); // but for pages that texts of errors point people to
});

test("pages should be as small, in one script with its hash, and the same each time", async () => {
  const [{ files, warnings }, again] = [await pages(), await pages()];
  assert.deepEqual(warnings, []);
  assert.deepEqual(
    [...files.keys()].filter((name) => /\.m?js$/.test(name)),
    ["assets/ort-wasm-simd-threaded.mjs", "page.js", "worker.js"],
  );
  const scripts = [...files].filter(([name]) => /\.m?js$/.test(name));
  const size = scripts.reduce((sum, [, contents]) => sum + gzipSync(contents, { level: 9 }).length, 0);
  assert.ok(size <= MOST, `${size} bytes`);
  const html = Buffer.from(files.get("index.html") as Uint8Array).toString();
  for (const name of ["page.js", "style.css"]) {
    const digest = createHash("sha384")
      .update(files.get(name) as Uint8Array)
      .digest("base64");
    assert.ok(html.includes(`"${name}" integrity="sha384-${digest}"`), name);
  }
  assert.doesNotMatch(html, /<script(?![^>]* src=)|<style| style=| on[a-z]+=/);
  for (const [name, contents] of again.files) assert.ok(Buffer.from(contents).equals(files.get(name) as Uint8Array));
});

test("errors should keep their names where a bundler has shortened all others", async (context) => {
  const outdir = mkdtempSync(join(tmpdir(), "visard-"));
  context.after(() => rmSync(outdir, { recursive: true }));
  await build({ ...OPTIONS, outdir, outExtension: { ".js": ".mjs" } });
  const bundled = (await import(pathToFileURL(join(outdir, "index.mjs")).href)) as typeof import("../src/index.ts");
  const { NoFace, VisardError } = bundled;
  assert.deepEqual([new NoFace("nobody").name, new VisardError("all").name], ["NoFace", "VisardError"]);
  const { port1, port2 } = new MessageChannel();
  context.after(() => port1.close());
  port2.onmessage = ({ data: { id } }) => port2.postMessage({ id, error: ["NoFace", "nobody"] });
  const photo = { width: 1, height: 1, data: new Uint8Array(3) };
  await assert.rejects(new bundled.RemoteCapturer(port1).capture(photo), NoFace); // from a worker it comes by its name
});
