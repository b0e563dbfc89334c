/** Putting the parties' answers together, and noticing where one of them does not fit (visard.sharing). */

import { equal } from "./bytes.ts";
import { InconsistentAnswer } from "./errors.ts";
import { fieldOf } from "./fields.ts";
import type { Outcome } from "./gen/visard/v1/common_pb.js";

/** The three parties' outcomes, in their order. */
export type Outcomes = readonly [Outcome, Outcome, Outcome];

/**
 * Signed integers from three shares of a sharing of degree 1, as they lie on the wire: 2 F(1) - F(2). Raises InconsistentAnswer.
 *
 * Two parties that keep to the rules hold two points of the line: a third one that changes its share leaves it.
 */
export function combine(shares: readonly [Uint8Array, Uint8Array, Uint8Array], q: number): bigint[] {
  const { wordBytes } = fieldOf(q);
  const p = (1n << BigInt(q)) - 1n;
  const [first, second, third] = [
    words(shares[0], wordBytes),
    words(shares[1], wordBytes),
    words(shares[2], wordBytes),
  ];
  return first.map((one, k) => {
    const [two, three] = [second[k], third[k]];
    if (two === undefined || three === undefined || one >= p || two >= p || three >= p) {
      throw new InconsistentAnswer("a party gave words that are no shares");
    }
    if ((2n * two + p - one) % p !== three) {
      throw new InconsistentAnswer("a party has changed its share of the output: the three do not lie on a line");
    }
    const value = (2n * one + p - two) % p;
    return value > p / 2n ? value - p : value;
  });
}

function words(share: Uint8Array, size: 4 | 8): bigint[] {
  const view = new DataView(share.buffer, share.byteOffset, share.byteLength);
  return Array.from({ length: share.length / size }, (_, k) =>
    size === 4 ? BigInt(view.getUint32(4 * k, true)) : view.getBigUint64(8 * k, true),
  );
}

/**
 * The bits of three parties' answers, packed, lowest bit first; raises InconsistentAnswer.
 *
 * A bit is b_0 ^ b_1 ^ b_2. Party i holds b_i and b_(i-1), so every piece comes twice.
 */
export function combineBits(outcomes: Outcomes): { count: number; bits: Uint8Array } {
  const count = outcomes[0].bits;
  const size = Math.ceil(count / 8);
  outcomes.forEach((outcome, i) => {
    if (outcome.bits !== count || outcome.pieceOwn.length !== size || outcome.piecePrevious.length !== size) {
      throw new InconsistentAnswer("the parties' answers have different lengths");
    }
    const next = (i + 1) % 3;
    if (!equal(outcome.pieceOwn, (outcomes[next] as Outcome).piecePrevious)) {
      throw new InconsistentAnswer(`parties ${i} and ${next} gave different pieces of the answer`);
    }
  });
  const [one, two, three] = outcomes;
  const bits = one.pieceOwn.map((byte, k) => byte ^ (two.pieceOwn[k] as number) ^ (three.pieceOwn[k] as number));
  return { count, bits };
}

/** One of packed bits. */
export function bitAt(bits: Uint8Array, index: number): boolean {
  return (((bits[index >> 3] as number) >> (index & 7)) & 1) === 1;
}
