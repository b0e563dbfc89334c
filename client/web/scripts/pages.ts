/**
 * `node scripts/pages.ts [FOLDER]`: the pages for people, as a site serves them, into build/pages or a folder, with SHA256SUMS of all.
 *
 * The same sources give the same bytes; only config.json, which each site writes for itself, is not among them.
 */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type BuildOptions, type BuildResult, build } from "esbuild";

const HOME = join(import.meta.dirname, "..");
const RUNTIME = join(HOME, "node_modules", "onnxruntime-web", "dist");
const LOADER = "ort-wasm-simd-threaded"; // which ONNX Runtime asks for

/** What goes into the bundle. Not in pieces: a page's script is one file, which has one hash. */
const OPTIONS = {
  entryPoints: {
    page: join(HOME, "pages", "page.ts"),
    worker: join(HOME, "src", "worker.ts"),
    style: join(HOME, "pages", "page.css"),
  },
  entryNames: "[name]",
  bundle: true,
  minify: true,
  write: false,
  outdir: HOME,
  format: "esm",
  platform: "browser",
  target: "es2023",
  logLevel: "silent",
} as const satisfies BuildOptions;

/** All files of the pages by their path, and what the bundler had to say. */
export async function pages(): Promise<{ files: Map<string, Uint8Array>; warnings: BuildResult["warnings"] }> {
  const { outputFiles, warnings } = await build(OPTIONS);
  const files = new Map<string, Uint8Array>();
  for (const { path, contents } of outputFiles) files.set(path.slice(HOME.length + 1), contents);
  files.set("assets/yunet.onnx", readFileSync(join(HOME, "assets", "yunet.onnx")));
  for (const name of [`${LOADER}.mjs`, `${LOADER}.wasm`])
    files.set(`assets/${name}`, readFileSync(join(RUNTIME, name)));
  for (const name of ["LICENSE", "NOTICE"]) files.set(`${name}.txt`, readFileSync(join(HOME, "..", "..", name)));
  const html = readFileSync(join(HOME, "pages", "index.html"), "utf8");
  const filled = html.replace(/\{([a-z.]+)\}/g, (_, name: string) => integrity(files.get(name)));
  files.set("index.html", Buffer.from(filled));
  return { files: new Map([...files].sort(([one], [two]) => (one < two ? -1 : 1))), warnings };
}

function integrity(contents: Uint8Array | undefined): string {
  if (!contents) throw new Error("index.html names a file that is not there");
  return `sha384-${createHash("sha384").update(contents).digest("base64")}`;
}

async function main(): Promise<void> {
  const { files } = await pages();
  const target = process.argv[2] ?? join(HOME, "build", "pages");
  rmSync(target, { recursive: true, force: true });
  const sums: string[] = [];
  for (const [path, contents] of files) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    writeFileSync(join(target, path), contents);
    sums.push(`${createHash("sha256").update(contents).digest("hex")}  ${path}\n`);
  }
  writeFileSync(join(target, "SHA256SUMS"), sums.join("")); // last: what has it is whole
}

if (import.meta.main) await main();
