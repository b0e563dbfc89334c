/** An upload is one header and the shares' chunks in turn, each in full but the last. */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { create, type JsonValue } from "@bufbuild/protobuf";
import { concat, equal } from "../src/bytes.ts";
import { type SealedRequest, seal, upload } from "../src/envelopes.ts";
import { InvalidRequest } from "../src/errors.ts";
import { type Chunk, RequestSchema } from "../src/gen/visard/v1/common_pb.js";
import { CHUNK_BYTES } from "../src/limits.ts";
import { commitment, openShare } from "../src/sealing.ts";
import { Secret } from "../src/secret.ts";
import { Signer } from "../src/statements.ts";
import { decoded, read } from "./vectors.ts";

const KEYS = read<{ private_key: string; public_key: string; request: JsonValue }[]>("envelopes");
const SHARES = [1, 2, 3].map((k) => new Uint8Array(150_000).fill(k));
let signer: Signer;
let sealed: SealedRequest;

before(async () => {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  signer = new Signer([], pair.privateKey);
  const request = create(RequestSchema, { subject: "ada", images: 1 });
  sealed = await seal(
    request,
    SHARES,
    KEYS.map((key) => decoded(key.public_key)),
    signer,
  );
});

test("sealed request should name what it brings, and each share open for its party", async () => {
  const named = await Promise.all(sealed.envelopes.map((envelope) => commitment(envelope.ciphertext)));
  assert.deepEqual(sealed.request.shareDigests, named);
  for (const [party, envelope] of sealed.envelopes.entries()) {
    const key = new Secret(decoded(KEYS[party]?.private_key ?? ""));
    const opened = await openShare(key, sealed.context, party, envelope.ciphertext);
    assert.ok(equal(opened.share, SHARES[party] as Uint8Array));
    assert.ok(equal(opened.replyKey, (sealed.replyKeys[party] as Secret).reveal()));
  }
});

test("upload should begin with its header and bring all chunks in turn", () => {
  const [first, ...rest] = upload(sealed);
  assert.equal(first?.part.case, "header");
  assert.deepEqual(
    first?.part.case === "header" && first.part.value.shares.map((share) => Number(share.size)),
    sealed.envelopes.map((envelope) => envelope.ciphertext.length),
  );
  const chunks = rest.map((one) => one.part.value as Chunk);
  assert.deepEqual(
    chunks.map((chunk) => [chunk.party, chunk.index, chunk.last]),
    [0, 1, 2].flatMap((index) => [0, 1, 2].map((party) => [party, index, index === 2])),
  );
  assert.ok(chunks.every((chunk) => chunk.data.length === CHUNK_BYTES || chunk.last));
  for (const [party, envelope] of sealed.envelopes.entries()) {
    const own = chunks.filter((chunk) => chunk.party === party).map((chunk) => chunk.data);
    assert.ok(equal(concat(...own), envelope.ciphertext));
  }
});

test("other than three shares should be refused", async () => {
  await assert.rejects(seal(create(RequestSchema), SHARES.slice(1), [], signer), InvalidRequest);
});
