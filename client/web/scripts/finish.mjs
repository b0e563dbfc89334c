// What the compiler leaves out of the package: the generated messages, licence and notice.

import { copyFileSync, cpSync } from "node:fs";
import { join } from "node:path";

const HOME = join(import.meta.dirname, "..");
const ROOT = join(HOME, "..", "..");

cpSync(join(HOME, "src", "gen"), join(HOME, "dist", "gen"), { recursive: true });
for (const name of ["LICENSE", "NOTICE"]) copyFileSync(join(ROOT, name), join(HOME, name));
