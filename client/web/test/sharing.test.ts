/** Shares say nothing alone, together they are the secret, and a party that changes its own is noticed. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { combine } from "../src/combining.ts";
import { InconsistentAnswer, InvalidRequest } from "../src/errors.ts";
import { type Fill, fieldOf, uniform31, uniform61 } from "../src/fields.ts";
import { decoded, read } from "./vectors.ts";

type Shares = [string, string, string];
type Vector = { q: number; shares: Shares; values: number[] } | { q: number; shares: Shares; error: string };

for (const vector of read<Vector[]>("sharing")) {
  test(`shares of q = ${vector.q} should be put together: ${"error" in vector ? vector.error : "good ones"}`, () => {
    const [one, two, three] = vector.shares;
    const together = (): bigint[] => combine([decoded(one), decoded(two), decoded(three)], vector.q);
    if ("error" in vector) assert.throws(together, new InconsistentAnswer(vector.error));
    else assert.deepEqual(together(), vector.values.map(BigInt));
  });
}

for (const q of [31, 61]) {
  test(`shares of q = ${q} should come back, and be fresh each time`, () => {
    const values = Int32Array.from({ length: 20_000 }, (_, k) => (k % 2 ? 1 : -1) * (k % 256));
    const shares = fieldOf(q).share(values);
    assert.deepEqual(combine(shares, q), Array.from(values, BigInt));
    assert.notDeepEqual(fieldOf(q).share(values), shares);
  });

  test(`share of q = ${q} should look the same whatever it is of`, () => {
    // the mean of 200,000 uniform elements lies within 5 standard deviations of the middle: 0.289 / sqrt(200,000) each
    const count = 200_000;
    for (const value of [0, 255]) {
      for (const share of fieldOf(q).share(new Uint8Array(count).fill(value))) {
        const view = new DataView(share.buffer);
        let sum = 0;
        for (let k = 0; k < count; k++) {
          sum += q === 31 ? view.getUint32(4 * k, true) / 2 ** 31 : view.getUint32(8 * k + 4, true) / 2 ** 29;
        }
        assert.ok(Math.abs(sum / count - 0.5) < 0.0033, `${sum / count}`);
      }
    }
  });
}

test("draw of all ones should be drawn again", () => {
  const given =
    (...words: number[]): Fill =>
    (target) =>
      target.set(words.splice(0, target.length));
  assert.deepEqual(uniform31(2, given(0xffffffff, 5, 0x7fffffff, 0x80000006)), Uint32Array.of(6, 5));
  const drawn = uniform61(2, given(0xffffffff, 0xffffffff, 1, 2, 0xffffffff, 0x1fffffff, 0xfffffffe, 0xffffffff));
  assert.deepEqual(drawn, BigUint64Array.of((1n << 61n) - 2n, (2n << 32n) + 1n));
});

test("field that nobody knows should be refused", () => {
  assert.throws(() => fieldOf(127), InvalidRequest);
});
