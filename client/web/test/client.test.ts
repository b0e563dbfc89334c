/** Photos go in, shares go out, and an answer is believed that all three parties vouch for; what fails is made again, or said. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Chip } from "../src/capture/faces.ts";
import { TEMPLATE } from "../src/capture/faces.ts";
import type { Point } from "../src/capture/geometry.ts";
import type { Picture } from "../src/capture/pictures.ts";
import { Client, type ClientOptions, type Stage } from "../src/client.ts";
import * as errors from "../src/errors.ts";
import { Operation } from "../src/gen/visard/v1/common_pb.js";
import { Deployment, SIGNER, TRUST } from "./double.ts";

const PIXELS = 3 * 112 * 112;

/** A chip of a face in a photo of one level, or of noise, which passes every gate. */
function chip(level?: number): Chip {
  const data = Uint8Array.from({ length: 3 * 300 * 300 }, (_, k) => level ?? (Math.floor(k / 3) * 7919) % 190);
  const photo: Picture = { width: 300, height: 300, data };
  const landmarks = TEMPLATE.map(([x, y]): Point => [x + 75, y + 75]);
  return { pixels: photo, photo, face: { box: [75, 75, 150, 150], landmarks, score: 0.95, wander: 0.01 } };
}

function begun(options: Partial<ClientOptions> = {}): { client: Client; deployment: Deployment } {
  const deployment = new Deployment();
  return { client: new Client({ transport: deployment, trust: TRUST, signer: SIGNER, ...options }), deployment };
}

test("verification should be the parties' bit, and the image reach them as shares of it alone", async () => {
  const { client, deployment } = begun();
  const stages: Stage[] = [];
  for (const bit of [true, false]) {
    deployment.answer = () => ({ bit, operatingPoint: "strict" });
    const answer = await client.verify("ada", chip(77), { force: true, onStage: (stage) => stages.push(stage) });
    assert.deepEqual([answer.match, answer.operatingPoint], [bit, "strict"]);
  }
  assert.deepEqual(stages.slice(0, 4), ["capture", "seal", "send", "open"]);
  const [first, second] = deployment.seen;
  assert.deepEqual([first?.request.subject, first?.request.images, first?.request.gallery], ["ada", 1, ""]);
  assert.ok(first?.images.length === PIXELS && first.images.every((level) => level === 77n));
  assert.notDeepEqual(first.request.requestId, second?.request.requestId);
  assert.equal(deployment.keysAsked, 1);
});

test("enrolment should name the references, in its gallery, with what was said of them", async () => {
  const { client, deployment } = begun({ gallery: "door" });
  deployment.answer = () => ({ referenceIds: ["aa", "bb"] });
  const options = { unique: true, ttlSeconds: 60, metadata: Uint8Array.of(1) };
  assert.deepEqual((await client.enrol("ada", [chip(), chip()], options)).references, ["aa", "bb"]);
  const { request } = deployment.seen[0] as (typeof deployment.seen)[0];
  assert.deepEqual([request.gallery, request.images, request.unique, request.ttlSeconds], ["door", 2, true, 60]);
});

test("enrolment that is to be reviewed should be accepted where nobody else is shown, and wait where that is not known", async () => {
  const { client, deployment } = begun({ gallery: "door" });
  deployment.answer = (request) =>
    request.operation === Operation.REVIEW ? { referencesChanged: 1 } : { referenceIds: ["aa"], compared: true };
  const alone = await client.enrol("ada", [chip()], { review: true });
  assert.deepEqual([alone.waiting, alone.candidates, alone.more], [false, [], false]);
  const [asked, accepted] = deployment.seen.map((one) => one.request);
  assert.deepEqual([asked?.review, asked?.accept, asked?.gallery], [true, false, "door"]);
  assert.deepEqual([accepted?.accept, accepted?.referenceIds, accepted?.gallery], [true, ["aa"], "door"]);
  deployment.answer = () => ({ referenceIds: ["aa"], referencesChanged: 1 });
  const unknown = await client.enrol("ada", [chip()], { review: true });
  assert.deepEqual([unknown.waiting, unknown.more, deployment.seen.length], [true, true, 3]);
  assert.equal(await client.review("ada", false), 1);
  assert.equal(deployment.seen[3]?.request.accept, false);
});

test("comparison should be in no gallery, and its photos not be judged", async () => {
  const { client, deployment } = begun({ gallery: "door", operatingPoint: "mine" });
  await client.compare(chip(3), chip(4));
  const { request, images } = deployment.seen[0] as (typeof deployment.seen)[0];
  assert.deepEqual([request.gallery, request.operatingPoint, images.length], ["", "mine", 2 * PIXELS]);
});

test("deletion and renaming should be what all parties say", async () => {
  const { client, deployment } = begun();
  deployment.answer = () => ({ referencesChanged: 3 });
  assert.equal(await client.delete("ada"), 3);
  assert.equal(await client.rename("ada", "eve"), 3);
  assert.deepEqual(
    deployment.seen.map((one) => one.request.operation),
    [Operation.DELETE, Operation.RENAME],
  );
  assert.equal(deployment.seen[1]?.request.newSubject, "eve");
});

test("photo that is not good enough should not be sent, and of several the one at fault be named", async () => {
  const { client, deployment } = begun();
  const poor = { name: "QualityError", message: /^photo 2 of 2: the face is blurred/ };
  await assert.rejects(client.enrol("ada", [chip(), chip(128)]), poor);
  await assert.rejects(client.verify("ada", chip(128)), errors.QualityError);
  assert.deepEqual(deployment.seen, []);
});

test("write whose answer is lost should be sent again as it is, one that was undone under another id", async () => {
  const { client, deployment } = begun();
  deployment.answer = () => ({ referenceIds: ["aa"] });
  deployment.failures.push(new errors.Unavailable("away"), new errors.Undone("undone"));
  await client.enrol("ada", [chip()]);
  const [first, again, anew] = deployment.seen.map((one) => one.request);
  assert.deepEqual(first?.requestId, again?.requestId);
  assert.deepEqual(first?.shareDigests, again?.shareDigests);
  assert.notDeepEqual(first?.requestId, anew?.requestId);
  assert.deepEqual(anew?.insteadOf, [first?.requestId]);
});

test("question should be another one each time it is asked again", async () => {
  const { client, deployment } = begun();
  deployment.failures.push(new errors.Exhausted("wait", 0.01));
  await client.verify("ada", chip());
  const [first, again] = deployment.seen.map((one) => one.request);
  assert.notDeepEqual(first?.requestId, again?.requestId);
  assert.notDeepEqual(first?.shareDigests, again?.shareDigests);
});

test("stale key should be fetched anew, once", async () => {
  const { client, deployment } = begun();
  deployment.failures.push(new errors.StaleKey("key_id: another one"));
  await client.verify("ada", chip());
  assert.equal(deployment.keysAsked, 2);
  deployment.failures.push(new errors.StaleKey("another"), new errors.StaleKey("and another"));
  await assert.rejects(client.verify("ada", chip()), errors.StaleKey);
});

test("deviation should be met a second time only, and other errors at once", async () => {
  const { client, deployment } = begun();
  deployment.failures.push(...[1, 2].map(() => new errors.Deviated("a party lies")));
  await assert.rejects(client.verify("ada", chip()), errors.Deviated);
  assert.equal(deployment.seen.length, 2);
  deployment.failures.push(new errors.NotFound("no such subject"));
  await assert.rejects(client.verify("eve", chip()), errors.NotFound);
  assert.equal(deployment.seen.length, 3);
});

test("call should end with its deadline, or with the reason for which it was aborted", async () => {
  const hurried = begun({ deadline: 0.3 });
  hurried.deployment.failures.push(...Array.from({ length: 9 }, () => new errors.Unavailable("away")));
  await assert.rejects(hurried.client.verify("ada", chip()), errors.ServiceError);
  const { client } = begun();
  const controller = new AbortController();
  const abort = (stage: Stage): void => {
    if (stage === "send") controller.abort(new Error("the person has left"));
  };
  const options = { signal: controller.signal, onStage: abort };
  await assert.rejects(client.verify("ada", chip(), options), { message: "the person has left" });
  await assert.rejects(client.verify("ada", chip(), options), { message: "the person has left" });
});

test("answers should be refused that do not fit together", async () => {
  const { client, deployment } = begun();
  deployment.answer = (_, party) => ({ referencesChanged: party });
  await assert.rejects(client.delete("ada"), errors.InconsistentAnswer);
  deployment.answer = (_, party) => ({ bit: party === 2 });
  await assert.rejects(client.verify("ada", chip()), errors.InconsistentAnswer);
});

test("values that fit no field should be named, and nothing be sent", async () => {
  const { client, deployment } = begun();
  await assert.rejects(client.verify("\ud800", chip()), /subject: text that UTF-8 can write/);
  await assert.rejects(client.enrol("ada", [chip()], { ttlSeconds: -1 }), /ttl_seconds: a whole number/);
  await assert.rejects(client.enrol("ada", []), errors.InvalidRequest);
  await assert.rejects(client.verify("ada", chip().photo), /^InvalidRequest: detector/);
  await assert.rejects(begun({ deadline: 0 }).client.verify("ada", chip()), errors.InvalidRequest);
  await assert.rejects(begun({ model: "none" }).client.verify("ada", chip()), errors.NotFound);
  assert.deepEqual(deployment.seen, []);
});

test("lists should be put together of their pages, and asked for in the client's place", async () => {
  const asked: unknown[] = [];
  const unary = (method: { name: string; output: never }, message: unknown): Promise<unknown> => {
    asked.push(message);
    const pages = [
      { subjects: [{ subject: "ada", references: 2 }], nextPageToken: "more" },
      { subjects: [{ subject: "bob" }] },
    ];
    const answers: Record<string, unknown> = {
      ListSubjects: pages[asked.length - 1],
      ListReferences: { references: [{ referenceId: "aa", createdUnixMs: 5n }] },
      ListGalleries: { galleries: [{ name: "door", references: 3n, rules: [{ may: "verify", callers: "*" }] }] },
      GetStatus: { ready: true, parties: [{ party: 2, references: 7n, stock: [{ kitBytes: 9n }] }] },
    };
    return Promise.resolve(create(method.output, answers[method.name] as never));
  };
  const { client } = begun({ gallery: "door", transport: { unary, upload: unary } as never });
  const subjects = await client.subjects({ waiting: true });
  assert.deepEqual(subjects, [
    { subject: "ada", references: 2 },
    { subject: "bob", references: 0 },
  ]);
  const [first, second] = asked as { gallery: string; waiting: boolean; pageToken: string }[];
  assert.deepEqual([first?.gallery, first?.waiting, second?.pageToken], ["door", true, "more"]);
  const [reference] = await client.references("ada");
  assert.deepEqual([reference?.createdUnixMs, reference?.expiresUnixMs], [5, undefined]);
  const [gallery] = await client.galleries();
  assert.deepEqual([gallery?.references, gallery?.enrol, gallery?.verify], [3, [], ["*"]]);
  const { ready, parties } = await client.status();
  assert.deepEqual([ready, parties[0]?.references, parties[0]?.stock[0]?.kitBytes], [true, 7, 9]);
});
