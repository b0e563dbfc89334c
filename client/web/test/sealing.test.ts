/** Requests are bound as in Python, and what is sealed opens for its party and its request alone. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type JsonValue } from "@bufbuild/protobuf";
import { equal, hex, random, utf8 } from "../src/bytes.ts";
import { Context } from "../src/context.ts";
import { SealError } from "../src/errors.ts";
import { GalleryRuleSchema, OperatingPointSchema, RequestSchema } from "../src/gen/visard/v1/common_pb.js";
import { commitment, keyId, newReplyKey, openShare, sealShare } from "../src/sealing.ts";
import { Secret } from "../src/secret.ts";
import { asked, decoded, read } from "./vectors.ts";

interface Bound {
  name: string;
  request: JsonValue;
  fields: string;
  digest: string;
}

interface Envelope {
  request: JsonValue;
  party: number;
  private_key: string;
  public_key: string;
  key_id: string;
  sealed: string;
  commitment: string;
  reply_key: string;
  share: string;
}

const ENVELOPES = read<Envelope[]>("envelopes");
const [, , LAST] = ENVELOPES as [Envelope, Envelope, Envelope];

for (const vector of read<Bound[]>("requests")) {
  test(`request should have its digests: ${vector.name}`, async () => {
    const context = await Context.of(asked(vector.request));
    assert.deepEqual(context.fields, decoded(vector.fields));
    assert.deepEqual(context.digest, decoded(vector.digest));
  });
}

test("every field of a request should be bound", async () => {
  const empty = await Context.of(create(RequestSchema));
  const digests = new Set([hex(empty.fields)]);
  // but for the hashes of what is sealed, and the caller, who signs them and the others
  const fields = RequestSchema.fields.filter((field) => !["share_digests", "caller"].includes(field.name));
  for (const { localName, fieldKind, ...field } of fields) {
    const scalar = (value: unknown): unknown =>
      typeof value === "string" ? "x" : typeof value === "bigint" ? 1n : typeof value === "boolean" ? true : 1;
    const request = create(RequestSchema) as unknown as Record<string, unknown>;
    const before = request[localName];
    if (fieldKind === "list") {
      const [points, rules] = [create(OperatingPointSchema), create(GalleryRuleSchema)];
      const values = { points, rules, insteadOf: utf8("x"), referenceIds: "x" };
      request[localName] = [values[localName as keyof typeof values]];
    } else request[localName] = before instanceof Uint8Array ? utf8("x") : scalar(before);
    const context = await Context.of(request as unknown as Parameters<typeof Context.of>[0]);
    assert.ok(!digests.has(hex(context.fields)), `${field.name}: not bound, or as another field is`);
    digests.add(hex(context.fields));
  }
});

for (const vector of ENVELOPES) {
  test(`envelope of party ${vector.party} should open`, async () => {
    const context = await Context.of(asked(vector.request));
    const opened = await openShare(
      new Secret(decoded(vector.private_key)),
      context,
      vector.party,
      decoded(vector.sealed),
    );
    assert.deepEqual(new Uint8Array(opened.replyKey), decoded(vector.reply_key));
    assert.deepEqual(new Uint8Array(opened.share), decoded(vector.share));
    assert.deepEqual(await keyId(decoded(vector.public_key)), decoded(vector.key_id));
    assert.deepEqual(await commitment(decoded(vector.sealed)), decoded(vector.commitment));
  });
}

test("sealed share should open for its party and request alone", async () => {
  const key = new Secret(decoded(LAST.private_key));
  const [context, other] = [await Context.of(asked(LAST.request)), await Context.of(create(RequestSchema))];
  const [reply, share] = [newReplyKey(), random(1000)];
  const sealed = await sealShare(decoded(LAST.public_key), context, 1, reply, share);
  const opened = await openShare(key, context, 1, sealed);
  assert.ok(equal(opened.share, share) && equal(opened.replyKey, reply.reveal()));
  await assert.rejects(openShare(key, context, 2, sealed), SealError);
  await assert.rejects(openShare(key, other, 1, sealed), SealError);
  for (const position of [0, 31, 32, 50, sealed.length - 1]) {
    const changed = Uint8Array.from(sealed, (byte, k) => (k === position ? byte ^ 1 : byte));
    await assert.rejects(openShare(key, context, 1, changed), SealError);
  }
});

test("two seals of one share should differ", async () => {
  const context = await Context.of(asked(LAST.request));
  const seal = (): Promise<Uint8Array> =>
    sealShare(decoded(LAST.public_key), context, 1, newReplyKey(), new Uint8Array(9));
  assert.notDeepEqual(await seal(), await seal());
});
