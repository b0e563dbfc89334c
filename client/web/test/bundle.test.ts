/** What a page loads is small, and asks nothing of anybody but whom it is told. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MOST = 150_000; // bytes, gzipped, without wasm and the detector's file

test("bundle should be small and name no server", async () => {
  const entry = join(import.meta.dirname, "../src/index.ts");
  const options = { bundle: true, minify: true, write: false, format: "esm", platform: "browser" } as const;
  const { outputFiles, warnings } = await build({ entryPoints: [entry], ...options, logLevel: "silent" });
  const [file] = outputFiles;
  assert.ok(file);
  assert.deepEqual(warnings, []);
  assert.ok(gzipSync(file.contents, { level: 9 }).length <= MOST, `${gzipSync(file.contents).length} bytes`);
  const servers = file.text.match(/(https?|wss?):\/\/[a-z0-9-]+\.[a-z0-9.-]+/gi) ?? [];
  const shown = servers.filter(
    (server) => !/\/\/(web\.dev|github\.com|connectrpc\.com|onnxruntime\.ai|www\.w3\.org)/.test(server),
  );
  assert.deepEqual(shown, []); // but for pages that texts of errors point people to
});
