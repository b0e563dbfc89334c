/**
 * How good a photo must be: gates (visard.capture.gates). A reference's is stricter than any probe's, for it is compared with for
 * years. The limits are those of the Python client, measured there; what each costs is in docs/capture.md.
 */

import { QualityError } from "../errors.ts";
import type { Chip } from "./faces.ts";
import { type Quality, quality } from "./quality.ts";

/** Limits of what Quality measures, in its units: "min" what is needed, "max" what is let through. */
export interface Gate {
  readonly maxYaw: number;
  readonly maxPitch: number;
  readonly minEyes: number;
  readonly minSharpness: number;
  readonly minBrightness: number;
  readonly maxBrightness: number;
  readonly minContrast: number;
  readonly maxClipped: number;
  readonly maxUneven: number;
  readonly maxHidden: number;
  readonly minScore: number;
  readonly maxWander: number;
}

type Limits = readonly [
  ...pose: [yaw: number, pitch: number],
  ...detail: [eyes: number, sharpness: number],
  ...light: [darkest: number, brightest: number, contrast: number, white: number, uneven: number],
  ...seen: [hidden: number, score: number, wander: number],
];

function gate(...limits: Limits): Gate {
  const [maxYaw, maxPitch, minEyes, minSharpness, minBrightness, maxBrightness, ...others] = limits;
  const [minContrast, maxClipped, maxUneven, maxHidden, minScore, maxWander] = others;
  const [pose, detail] = [
    { maxYaw, maxPitch },
    { minEyes, minSharpness },
  ];
  const light = { minBrightness, maxBrightness, minContrast, maxClipped, maxUneven };
  return { ...pose, ...detail, ...light, maxHidden, minScore, maxWander };
}

/** Of probes, by how many strangers in one a point lets in. */
export const PROBE: ReadonlyMap<number, Gate> = new Map([
  [1e-3, gate(52, 12, 12.5, 0.045, 26, 240, 5, 0.35, 0.55, 0.17, 0.88, 0.2)],
  [1e-4, gate(48, 11, 13, 0.055, 28, 235, 6.5, 0.3, 0.5, 0.15, 0.9, 0.18)],
  [1e-5, gate(44, 10, 14, 0.06, 30, 225, 8, 0.2, 0.45, 0.12, 0.902, 0.15)],
]);
/** Of references. */
export const ENROLMENT: Gate = gate(40, 9, 16, 0.065, 40, 215, 13, 0.1, 0.38, 0.1, 0.91, 0.125);

const DEFAULT_RATE = 1e-4; // of a point whose false match rate nobody has measured

/**
 * The gate of an operating point that lets one stranger in so many in; undefined where nobody knows: as at one in 10,000. Between
 * two gates the stricter one counts, beyond the last the last.
 */
export function probeGate(falseMatchRate: number | undefined): Gate {
  const rate = falseMatchRate ?? DEFAULT_RATE;
  const known = [...PROBE.keys()];
  const within = known.filter((one) => one <= rate);
  return PROBE.get(within.length ? Math.max(...within) : Math.min(...known)) as Gate;
}

/** Raises QualityError, which names all that is wrong. */
export function check(chip: Chip, limits: Gate): void {
  const found = wrong(quality(chip), limits);
  if (found.length) throw new QualityError(found.map((one) => one.text).join("; "));
}

/** What a gate refuses, for programs, and for people a text that says what to change. */
export interface Problem {
  readonly hint: "turn" | "lift" | "closer" | "still" | "light" | "dim" | "front light" | "uncover" | "clear";
  readonly text: string;
}

/** What a gate refuses, and what to change; nothing where it lets through. */
export function wrong(found: Quality, limits: Gate): Problem[] {
  return [...pose(found, limits), ...sharpness(found, limits), ...light(found, limits), ...seen(found, limits)];
}

function* pose(found: Quality, limits: Gate): Generator<Problem> {
  if (Math.abs(found.yaw) > limits.maxYaw) {
    const side = found.yaw > 0 ? "right" : "left";
    const text = `the face is turned to the ${side} by about ${Math.abs(found.yaw).toFixed(0)} degrees: look at the camera`;
    yield { hint: "turn", text };
  }
  if (Math.abs(found.pitch) > limits.maxPitch) {
    const side = found.pitch > 0 ? "down" : "up";
    const degrees = Math.abs(found.pitch).toFixed(0);
    const advice = "hold the camera at the height of the eyes, and look at it";
    yield { hint: "lift", text: `the face is turned ${side} by about ${degrees} degrees: ${advice}` };
  }
}

function* sharpness(found: Quality, limits: Gate): Generator<Problem> {
  if (found.eyes < limits.minEyes) {
    const pixels = `${found.eyes.toFixed(1)} pixels between the eyes, ${limits.minEyes.toFixed(0)} needed`;
    yield { hint: "closer", text: `the face is small (${pixels}): come closer, or use a photo of more pixels` };
  }
  if (found.sharpness < limits.minSharpness) {
    const measured = `sharpness ${found.sharpness.toFixed(3)}, ${limits.minSharpness.toFixed(3)} needed`;
    yield { hint: "still", text: `the face is blurred (${measured}): hold still, and let the camera focus` };
  }
}

function* light(found: Quality, limits: Gate): Generator<Problem> {
  const brightness = `brightness ${found.brightness.toFixed(0)} of 255`;
  if (found.brightness < limits.minBrightness) {
    const needed = limits.minBrightness.toFixed(0);
    yield { hint: "light", text: `the face is dark (${brightness}, ${needed} needed): use more light` };
  }
  if (found.brightness > limits.maxBrightness || found.clipped > limits.maxClipped) {
    const white = `${(100 * found.clipped).toFixed(0)} % of it white`;
    yield { hint: "dim", text: `the face is too bright (${brightness}, ${white}): use less light, and no flash` };
  }
  if (found.contrast < limits.minContrast) {
    const levels = `${found.contrast.toFixed(0)} grey levels, ${limits.minContrast.toFixed(0)} needed`;
    const advice = "clean the lens, and have the light in front of the face, not behind it";
    yield { hint: "front light", text: `the face has too little contrast (${levels}): ${advice}` };
  }
  if (Math.abs(found.uneven) > limits.maxUneven) {
    const side = found.uneven > 0 ? "left" : "right";
    const text = `the ${side} side of the face lies in the shade: have the light in front of it`;
    yield { hint: "front light", text };
  }
}

function* seen(found: Quality, limits: Gate): Generator<Problem> {
  if (found.hidden > limits.maxHidden) {
    const text = `${(100 * found.hidden).toFixed(0)} % of the face are hidden: use a photo that shows all of it`;
    yield { hint: "uncover", text };
  }
  const unsure: string[] = [];
  if (found.score < limits.minScore) {
    unsure.push(`score ${found.score.toFixed(3)}, ${limits.minScore.toFixed(3)} needed`);
  }
  if (found.wander > limits.maxWander) {
    unsure.push(`landmarks move by ${found.wander.toFixed(3)}, ${limits.maxWander.toFixed(3)} allowed`);
  }
  if (unsure.length) {
    const advice = "take off what covers it (hands, hair, mask, dark glasses), and look at the camera";
    yield { hint: "clear", text: `the face cannot be seen clearly (${unsure.join(", ")}): ${advice}` };
  }
}
