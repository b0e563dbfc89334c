/** Certificates, parties' keys and callers are believed where Python believes them, and refused in the same words. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { random } from "../src/bytes.ts";
import { fromDer, toDer } from "../src/der.ts";
import { InvalidRequest, UntrustedKey } from "../src/errors.ts";
import { PartyKeySchema, RequestSchema } from "../src/gen/visard/v1/common_pb.js";
import { SeenInMemory, trusted, verifyPartyKey } from "../src/partykeys.ts";
import { Signer, signedBy } from "../src/statements.ts";
import { Trust } from "../src/vouching.ts";
import { asked, decoded, type Failure, outcome, read } from "./vectors.ts";

interface Vouching {
  now: number;
  trusts: Record<string, Record<string, string>>;
  chains: { name: string; trust: string; chain: string[]; names?: string[]; error?: Failure }[];
  keys: { name: string; trust: string; party: number; key: JsonValue; error: Failure | null }[];
  callers: { name: string; trust: string; request: JsonValue; names?: string[]; error?: Failure }[];
}

const VECTORS = read<Vouching>("vouching");

async function trust(name: string): Promise<Trust> {
  const roots = VECTORS.trusts[name] ?? {};
  return roots[""] === undefined ? await Trust.each(roots) : Trust.one(roots[""]);
}

for (const { name, trust: whom, chain, names, error } of VECTORS.chains) {
  test(`chain should be believed or not: ${name}`, async () => {
    const believed = await trust(whom);
    assert.deepEqual(await outcome(() => believed.names(chain.map(decoded), VECTORS.now)), error ?? names);
  });
}

for (const { name, trust: whom, party, key, error } of VECTORS.keys) {
  test(`party's key should be believed or not: ${name}`, async () => {
    const believed = await trust(whom);
    const told = await outcome(() => verifyPartyKey(believed, party, fromJson(PartyKeySchema, key), VECTORS.now));
    assert.deepEqual(told ?? null, error);
  });
}

for (const { name, trust: whom, request, names, error } of VECTORS.callers) {
  test(`caller should be believed or not: ${name}`, async () => {
    const believed = await trust(whom);
    assert.deepEqual(await outcome(() => signedBy(believed, asked(request), VECTORS.now)), error ?? names);
  });
}

test("roots should be refused that two of the servers share, or that are none", async () => {
  const roots = VECTORS.trusts["each"] as Record<string, string>;
  const shared = { ...roots, dealer: roots["party/1"] as string };
  await assert.rejects(Trust.each(shared), /^RangeError: party\/1: has a root in common with dealer/);
  await assert.rejects(Trust.each({ ...roots, nobody: roots["dealer"] as string }), /^RangeError: nobody: not a role/);
  await assert.rejects(Trust.each({ dealer: roots["dealer"] as string }), /^RangeError: party\/0: missing/);
  const key = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----";
  await assert.rejects(Trust.each({ ...roots, dealer: key }), /^RangeError: dealer: the file holds a private key/);
});

test("keys of three parties should be needed, and none older than one that was seen", async () => {
  const believed = await trust("each");
  const good = fromJson(PartyKeySchema, VECTORS.keys[0]?.key as JsonValue);
  await assert.rejects(trusted(believed, [good], new SeenInMemory(), VECTORS.now), UntrustedKey);
  const seen = new SeenInMemory();
  assert.deepEqual(await seen.raise(new Map([[0, 4n]])), new Map());
  assert.deepEqual(await seen.raise(new Map([[0, 3n]])), new Map([[0, 4n]]));
  assert.deepEqual(await seen.raise(new Map()), new Map([[0, 4n]]));
});

test("signature in DER should have one encoding", () => {
  for (const length of [32, 48, 66]) {
    for (let round = 0; round < 50; round++) {
      const raw = random(2 * length);
      raw.fill(0, 0, round % 5); // short numbers, too
      assert.deepEqual(fromDer(toDer(raw), length), raw);
    }
  }
  const good = toDer(Uint8Array.from({ length: 64 }, (_, k) => k + 100));
  const longer = Uint8Array.of(...good, 0);
  const padded = Uint8Array.of(0x30, (good[1] as number) + 1, 0x02, 0x21, 0, ...good.subarray(4));
  for (const wrong of [longer, padded, good.subarray(1), good.subarray(0, 20), new Uint8Array(0)]) {
    assert.throws(() => fromDer(wrong, 32), RangeError);
  }
});

test("signer should be refused for a key that cannot sign, and say nothing of it", async () => {
  const pem = "-----BEGIN PRIVATE KEY-----\nc3dvcmRmaXNo\n-----END PRIVATE KEY-----";
  await assert.rejects(Signer.fromPem("", pem), (error: Error) => {
    assert.ok(error instanceof InvalidRequest && error.cause === undefined && !/swordfish|c3dv/.test(error.message));
    return true;
  });
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  assert.throws(() => new Signer([], pair.publicKey), InvalidRequest);
  const request = create(RequestSchema, { subject: "ada" });
  await new Signer([], pair.privateKey).sign(request);
  assert.equal(request.caller?.signature[0], 0x30);
});
