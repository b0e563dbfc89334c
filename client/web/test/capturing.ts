/**
 * `node capturing.ts FOLDER`: captures the photos of FOLDER/photos.json, for tests/web/test_photos.py, which compares.
 *
 * A photo is RGB in a file of its own. What was found is written as FOLDER/found.json, and its chip beside it.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { capture } from "../src/capture/capture.ts";
import { chipPixels } from "../src/capture/chips.ts";
import { type Detector, YuNet } from "../src/capture/detector.ts";
import { quality } from "../src/capture/quality.ts";
import { CaptureError } from "../src/errors.ts";

interface Photo {
  name: string;
  width: number;
  height: number;
  largest: boolean;
}

const FOLDER = process.argv[2] ?? ".";

async function found(detector: Detector, { name, width, height, largest }: Photo): Promise<unknown> {
  const data = new Uint8Array(readFileSync(join(FOLDER, `${name}.rgb`)));
  try {
    const chip = await capture(detector, { width, height, data }, { largest });
    writeFileSync(join(FOLDER, `${name}.chip`), chipPixels(chip, "arcface-112").data);
    const { landmarks, score, wander } = chip.face;
    return { name, landmarks, score, wander, quality: quality(chip) };
  } catch (error) {
    if (error instanceof CaptureError) return { name, error: [error.name, error.message] };
    throw error;
  }
}

const model = readFileSync(join(import.meta.dirname, "..", "assets", "yunet.onnx"));
const detector = await YuNet.load({ model });
const photos = JSON.parse(readFileSync(join(FOLDER, "photos.json"), "utf8")) as Photo[];
const all: unknown[] = [];
for (const photo of photos) all.push(await found(detector, photo));
writeFileSync(join(FOLDER, "found.json"), JSON.stringify(all));
