/** Calls by fetch are those of the Connect protocol, and what fails is the error that it means. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { encodeEnvelopes } from "@connectrpc/connect/protocol";
import { concat, equal, utf8 } from "../src/bytes.ts";
import { ConnectTransport } from "../src/connect.ts";
import * as errors from "../src/errors.ts";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { UploadSchema } from "../src/gen/visard/v1/common_pb.js";
import { FaceMatching, GetStatusResponseSchema, ResultSchema } from "../src/gen/visard/v1/gateway_pb.js";

const GATEWAY = "https://gateway.example:7443";
const LIMITS = { signal: new AbortController().signal, timeoutMs: 1000 };
const PARTS = [0, 1].map((index) => create(UploadSchema, { part: { case: "chunk", value: { index } } }));

interface Asked {
  readonly url: string;
  readonly init: RequestInit;
}

/** A transport to a gateway that answers so; `asked` has what was sent. */
function answering(answer: () => Response | Promise<Response>): { transport: ConnectTransport; asked: Asked[] } {
  const asked: Asked[] = [];
  const fetch = (input: unknown, init: RequestInit = {}): Promise<Response> => {
    asked.push({ url: String(input), init });
    return Promise.resolve(answer());
  };
  return { transport: new ConnectTransport({ gateway: GATEWAY, fetch: fetch as typeof globalThis.fetch }), asked };
}

function stream(...messages: { flags: number; data: Uint8Array }[]): Response {
  const body = new Uint8Array(encodeEnvelopes(...messages));
  return new Response(body, { headers: { "content-type": "application/connect+proto" } });
}

const RESULT = { flags: 0, data: toBinary(ResultSchema, create(ResultSchema, { gatewaySeconds: 2 })) };
const END = { flags: 2, data: utf8("{}") };

function failed(code: string, ...details: { type: string; value: Uint8Array }[]): Uint8Array {
  const named = details.map(({ type, value }) => ({ type, value: Buffer.from(value).toString("base64") }));
  return utf8(JSON.stringify({ error: { code, message: "in words", details: named } }));
}

test("upload should be one request of all its parts", async () => {
  const { transport, asked } = answering(() => stream(RESULT, END));
  const result = await transport.upload(FaceMatching.method.verify, PARTS, LIMITS);
  assert.equal(result.gatewaySeconds, 2);
  const [{ url, init }] = asked as [Asked];
  assert.equal(url, `${GATEWAY}/visard.v1.FaceMatching/Verify`);
  assert.deepEqual([init.method, init.credentials, init.redirect], ["POST", "omit", "error"]);
  const headers = new Headers(init.headers);
  assert.equal(headers.get("content-type"), "application/connect+proto");
  assert.equal(headers.get("connect-timeout-ms"), "1000");
  const sent = PARTS.map((part) => toBinary(UploadSchema, part));
  const framed = concat(...sent.flatMap((data) => [Uint8Array.of(0, 0, 0, 0, data.length), data]));
  assert.ok(equal(init.body as Uint8Array, framed));
});

test("call with one message should be one", async () => {
  const body = toBinary(GetStatusResponseSchema, create(GetStatusResponseSchema, { ready: true }));
  const { transport, asked } = answering(
    () => new Response(new Uint8Array(body), { headers: { "content-type": "application/proto" } }),
  );
  const { getStatus } = FaceMatching.method;
  const status = await transport.unary(getStatus, create(getStatus.input, { layers: true }), LIMITS);
  assert.equal(status.ready, true);
  assert.equal(asked[0]?.url, `${GATEWAY}/visard.v1.FaceMatching/GetStatus`);
  assert.equal(fromBinary(getStatus.input, asked[0]?.init.body as Uint8Array).layers, true);
});

const RETRY = toBinary(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: { seconds: 2n, nanos: 500_000_000 } }));
const KEY = create(BadRequestSchema, { fieldViolations: [{ field: "header.shares.key_id" }] });
const LIES = toBinary(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "PARTY_DEVIATES" }));
const CASES = [
  ["not_found", [], errors.NotFound],
  ["unauthenticated", [], errors.PermissionDenied],
  ["invalid_argument", [], errors.InvalidRequest],
  ["invalid_argument", [{ type: "google.rpc.BadRequest", value: toBinary(BadRequestSchema, KEY) }], errors.StaleKey],
  ["aborted", [], errors.Undone],
  ["aborted", [{ type: "google.rpc.ErrorInfo", value: LIES }], errors.Deviated],
  ["resource_exhausted", [{ type: "google.rpc.RetryInfo", value: RETRY }], errors.Exhausted],
  ["unavailable", [], errors.Unavailable],
  ["internal", [], errors.InternalError],
  ["data_loss", [], errors.InternalError],
] as const;

for (const [code, details, kind] of CASES) {
  test(`failure ${code} should be ${kind.name}`, async () => {
    const { transport } = answering(() => stream({ flags: 2, data: failed(code, ...details) }));
    await assert.rejects(transport.upload(FaceMatching.method.verify, PARTS, LIMITS), (error: Error) => {
      assert.equal(error.constructor, kind);
      assert.equal(error.message, "in words");
      assert.ok(!(error instanceof errors.Exhausted) || error.retryAfter === 2.5);
      return true;
    });
  });
}

test("failure of a call with one message should be its error, and what is none be refused", async () => {
  const { getStatus } = FaceMatching.method;
  const headers = { "content-type": "application/json" };
  const cases = [
    [new Response('{"code":"not_found","message":"in words"}', { status: 404, headers }), errors.NotFound],
    [new Response("<html>", { headers: { "content-type": "text/html" } }), errors.VisardError],
    [new Response("", { status: 502 }), errors.VisardError],
    [new Response(Uint8Array.of(255), { headers: { "content-type": "application/proto" } }), errors.VisardError],
  ] as const;
  for (const [answer, kind] of cases) {
    const { transport } = answering(() => answer);
    await assert.rejects(transport.unary(getStatus, create(getStatus.input), LIMITS), kind);
  }
});

test("locked subject should be told by the words of its refusal", async () => {
  const words = "the subject is locked after too many failed verifications: an administrator can unlock it";
  for (const [message, kind] of [
    [words, errors.SubjectLocked],
    ["nobody is enrolled", errors.FailedPrecondition],
  ] as const) {
    const body = new TextEncoder().encode(JSON.stringify({ error: { code: "failed_precondition", message } }));
    const { transport } = answering(() => stream({ flags: 2, data: body }));
    await assert.rejects(
      transport.upload(FaceMatching.method.verify, PARTS, LIMITS),
      (error: Error) => error.constructor === kind,
    );
  }
});

test("gateway that is not there should be told in words", async () => {
  const { transport } = answering(() => Promise.reject(new TypeError("fetch failed")));
  const { getStatus } = FaceMatching.method;
  await assert.rejects(transport.upload(FaceMatching.method.verify, PARTS, LIMITS), errors.Unreachable);
  await assert.rejects(transport.unary(getStatus, create(getStatus.input), LIMITS), errors.Unreachable);
});

test("answer that is cut off, doubled or none should be refused", async () => {
  const whole = new Uint8Array(encodeEnvelopes(RESULT, END));
  const headers = { "content-type": "application/connect+proto" };
  const answers = [
    stream(RESULT),
    stream(END),
    stream(RESULT, RESULT, END),
    stream(RESULT, END, RESULT),
    new Response(whole.slice(0, -1), { headers }),
    new Response(whole.slice(0, 3), { headers }),
    new Response("<html>", { headers: { "content-type": "text/html" } }),
    new Response("", { status: 502 }),
  ];
  for (const answer of answers) {
    const { transport } = answering(() => answer);
    await assert.rejects(transport.upload(FaceMatching.method.verify, PARTS, LIMITS), errors.VisardError);
  }
});
