/** Points in a picture, and the similarity transforms that bring them to one another (visard.capture.faces). */

/** x and y in pixels. */
export type Point = readonly [number, number];
/** Several points; of a face five: right eye, left eye, nose, mouth corners. */
export type Points = readonly Point[];
/** Two rows of three: rotation, scale and shift. */
export type Matrix = readonly [Row, Row];
type Row = readonly [number, number, number];

/** The mean of points. */
export function mean(points: Points): Point {
  const sum = points.reduce<Point>(([x, y], [u, v]) => [x + u, y + v], [0, 0]);
  return [sum[0] / points.length, sum[1] / points.length];
}

/** The points with this one as their origin. */
export function around(points: Points, [x, y]: Point): Points {
  return points.map(([u, v]) => [u - x, v - y]);
}

/** How far two points are apart. */
export function distance([x, y]: Point, [u, v]: Point): number {
  return Math.hypot(x - u, y - v);
}

/**
 * Least-squares rotation, scale and shift, without reflection: in the plane what Umeyama's method (1991) finds is a division of
 * complex numbers.
 */
export function similarity(source: Points, target: Points): Matrix {
  const [from, to] = [mean(source), mean(target)];
  const b = around(target, to);
  let [real, imaginary, size] = [0, 0, 0];
  around(source, from).forEach(([x, y], k) => {
    const [u, v] = b[k] as Point;
    real += x * u + y * v;
    imaginary += x * v - y * u;
    size += x * x + y * y;
  });
  const [cosine, sine] = [real / size, imaginary / size];
  const shift = [to[0] - cosine * from[0] + sine * from[1], to[1] - sine * from[0] - cosine * from[1]] as const;
  return [
    [cosine, -sine, shift[0]],
    [sine, cosine, shift[1]],
  ];
}

/** How much larger things become. */
export function scaleOf([[cosine], [sine]]: Matrix): number {
  return Math.hypot(cosine, sine);
}

/** By how many degrees things are turned. */
export function angleOf([[cosine], [sine]]: Matrix): number {
  return degrees(Math.atan2(sine, cosine));
}

/** Radians as degrees. */
export function degrees(radians: number): number {
  return (radians * 180) / Math.PI;
}

/** Where a transform brings points. */
export function moved(points: Points, [top, bottom]: Matrix): Points {
  return points.map(([x, y]) => [top[0] * x + top[1] * y + top[2], bottom[0] * x + bottom[1] * y + bottom[2]]);
}

/** Where points come from. */
export function movedBack(points: Points, matrix: Matrix): Points {
  return moved(points, inverse(matrix));
}

/** The transform that undoes one. */
export function inverse([[a, b, x], [c, d, y]]: Matrix): Matrix {
  const determinant = a * d - b * c;
  const [p, q, r, s] = [d / determinant, -b / determinant, -c / determinant, a / determinant];
  return [
    [p, q, -(p * x + q * y)],
    [r, s, -(r * x + s * y)],
  ];
}
