/** The site that the page of the tests comes from: the package bundled as a site would do it, over TLS, with a strict policy. */

import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const HOME = join(import.meta.dirname, "..", "..");
const RUNTIME = join(HOME, "node_modules", "onnxruntime-web", "dist");
const LOADER = "ort-wasm-simd-threaded";
const TYPES: ReadonlyMap<string, string> = new Map([
  ["html", "text/html; charset=utf-8"],
  ["js", "text/javascript"],
  ["mjs", "text/javascript"],
  ["json", "application/json"],
  ["wasm", "application/wasm"],
]);

/** What is served, by its path. */
export type Files = ReadonlyMap<string, Uint8Array>;

/** A page with its worker, ONNX Runtime and the detector's file. */
export async function files(setup: unknown, page = "page.ts"): Promise<Files> {
  const { outputFiles } = await build({
    entryPoints: { page: join(import.meta.dirname, page), worker: join(HOME, "src", "worker.ts") },
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    outdir: "/",
    format: "esm",
    platform: "browser",
    logLevel: "silent",
  });
  return new Map([
    ["/", readFileSync(join(import.meta.dirname, "page.html"))],
    ["/setup.json", Buffer.from(JSON.stringify(setup))],
    ["/assets/yunet.onnx", readFileSync(join(HOME, "assets", "yunet.onnx"))],
    ...outputFiles.map(({ path, contents }): [string, Uint8Array] => [path, contents]),
    ...[`${LOADER}.mjs`, `${LOADER}.wasm`].map((name): [string, Uint8Array] => [
      `/assets/${name}`,
      readFileSync(join(RUNTIME, name)),
    ]),
  ]);
}

/** Bytes of all scripts among files, gzipped. */
export function scripts(served: Files): Record<string, number> {
  const found = [...served].filter(([path]) => /\.m?js$/.test(path));
  return Object.fromEntries(found.map(([path, contents]) => [path, gzipSync(contents, { level: 9 }).length]));
}

/** Serve them at a port of this machine; what asks for another path is told that there is none. */
export function serve(
  served: Files,
  port: number,
  tls: { cert: string; key: string },
  ...reached: string[]
): Promise<Server> {
  const policy = [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    `connect-src 'self' ${reached.join(" ")}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
  const server = createServer(tls, (request, response) => {
    const path = request.url ?? "";
    const contents = served.get(path);
    const type = TYPES.get(path === "/" ? "html" : (path.split(".").pop() ?? "")) ?? "application/octet-stream";
    response.writeHead(contents ? 200 : 404, { "content-type": type, "content-security-policy": policy });
    response.end(contents);
  });
  const { promise, resolve, reject } = Promise.withResolvers<Server>();
  server.once("error", reject);
  server.listen(port, "127.0.0.1", () => resolve(server));
  return promise;
}
