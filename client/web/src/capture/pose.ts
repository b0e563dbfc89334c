/**
 * Where a head has to stand for its five points to be seen at the landmarks: by scaled orthographic projection (D. DeMenthon,
 * L. Davis, 1995, without its iteration), as visard.capture.quality.
 */

import { upright } from "./faces.ts";
import { angleOf, around, degrees, mean, moved, type Points } from "./geometry.ts";

type Vector = readonly [number, number, number];

/** YuNet's landmarks in space (right, down, away from the camera), a unit being what lies between the eyes. */
const SHAPE: readonly Vector[] = [
  [-0.5, -0.509, 0.044],
  [0.5, -0.509, 0.044],
  [0, 0.045, -0.402],
  [-0.429, 0.486, 0.157],
  [0.429, 0.486, 0.157],
];

/** Yaw, pitch and roll, in degrees, of a head that is seen at landmarks. */
export function pose(landmarks: Points): Vector {
  const turn = upright(landmarks); // longer faces than SHAPE must not look turned where they are aslant
  const seen = moved(landmarks, turn);
  const centred = around(seen, mean(seen));
  const right = axis(centred.map(([x]) => x));
  const down = axis(centred.map(([, y]) => y));
  const away = cross(right, down); // the picture's axes, as they lie in the head
  const yaw = degrees(Math.atan2(away[0], away[2]));
  const pitch = degrees(Math.atan2(away[1], Math.hypot(away[0], away[2])));
  return [yaw, pitch, degrees(Math.atan2(-right[1], down[1])) - angleOf(turn)];
}

const MIDDLE = SHAPE.reduce<Vector>(([a, b, c], [x, y, z]) => [a + x / 5, b + y / 5, c + z / 5], [0, 0, 0]);
const CENTRED = SHAPE.map(([x, y, z]): Vector => [x - MIDDLE[0], y - MIDDLE[1], z - MIDDLE[2]]);
const NORMAL = [0, 1, 2].map((i) => weighted(CENTRED.map((point) => point[i as 0 | 1 | 2]))) as unknown as readonly [
  Vector,
  Vector,
  Vector,
];

/** The direction in the head along which a coordinate of its points grows as these numbers do, by least squares; of length one. */
function axis(coordinates: readonly number[]): Vector {
  const solved = solve(NORMAL, weighted(coordinates));
  const length = Math.hypot(...solved);
  return [solved[0] / length, solved[1] / length, solved[2] / length];
}

function weighted(coordinates: readonly number[]): Vector {
  return CENTRED.reduce<Vector>(
    ([a, b, c], [x, y, z], k) => {
      const weight = coordinates[k] as number;
      return [a + x * weight, b + y * weight, c + z * weight];
    },
    [0, 0, 0],
  );
}

/** Of three equations, by Cramer's rule. */
function solve([a, b, c]: readonly [Vector, Vector, Vector], right: Vector): Vector {
  const whole = dot(a, cross(b, c));
  return [dot(right, cross(b, c)) / whole, dot(a, cross(right, c)) / whole, dot(a, cross(b, right)) / whole];
}

function cross([a, b, c]: Vector, [x, y, z]: Vector): Vector {
  return [b * z - c * y, c * x - a * z, a * y - b * x];
}

function dot([a, b, c]: Vector, [x, y, z]: Vector): number {
  return a * x + b * y + c * z;
}
