/** Numbers and hashes lie as they are written down, and a secret shows nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { concat, hex, uint32, uint64, utf8 } from "../src/bytes.ts";
import { sized } from "../src/digests.ts";
import { Secret } from "../src/secret.ts";

test("numbers should be big-endian", () => {
  assert.equal(hex(concat(uint32(258), uint64(2n ** 63n + 1n))), "000001028000000000000001");
});

test("part should stand behind its length", () => {
  assert.equal(hex(sized(utf8("ab"))), "000000026162");
});

test("secret should show its size alone", () => {
  const secret = new Secret(utf8("swordfish"));
  for (const shown of [String(secret), JSON.stringify({ secret }), inspect(secret), `${Object.values(secret)}`]) {
    assert.ok(!/swordfish|115/.test(shown), shown);
  }
  assert.equal(String(secret), "<Secret: 9 bytes>");
  assert.equal(secret.length, 9);
});
