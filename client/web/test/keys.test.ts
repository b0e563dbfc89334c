/** A key is invited, kept, renewed and forgotten; what a registrar is asked proves the key, and what it answers is looked at. */

import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { AsnConvert } from "@peculiar/asn1-schema";
import { Certificate as Asn1, SubjectPublicKeyInfo } from "@peculiar/asn1-x509";
import { type Bytes, concat, equal, uint64, utf8 } from "../src/bytes.ts";
import { Certificate } from "../src/certificates.ts";
import { ConnectTransport } from "../src/connect.ts";
import { sha256, sized } from "../src/digests.ts";
import * as errors from "../src/errors.ts";
import { type Proof, ProofSchema } from "../src/gen/visard/v1/common_pb.js";
import { FaceMatching } from "../src/gen/visard/v1/gateway_pb.js";
import { BrowserKey, invitationIn, type KeyOptions } from "../src/keys.ts";
import { type Kept, same, type Vault } from "../src/vault.ts";
import { decoded, read } from "./vectors.ts";

const REGISTRAR = "https://registrar.example:7450";
const INVITATION = `${"a".repeat(11)}.${"b".repeat(43)}`;
const DAY_MS = 24 * 3600 * 1000;
const INFO = 3; // where what is signed begins in a signing request for P-256, and where its key does
const KEY = INFO + 7;
const KEY_BYTES = 91;
const { caller } = read<{ caller: { chain: string; key: string } }>("parties");

/** In memory. */
class Drawer implements Vault {
  readonly kept = new Map<string, Kept>();
  get(name: string): Promise<Kept | undefined> {
    return Promise.resolve(this.kept.get(name));
  }
  put(name: string, kept: Kept, without: readonly string[] = []): Promise<void> {
    for (const other of without) this.kept.delete(other);
    this.kept.set(name, kept);
    return Promise.resolve();
  }
  replace(name: string, kept: Kept, before: Kept): Promise<boolean> {
    const replaced = same(this.kept.get(name), before);
    if (replaced) this.kept.set(name, kept);
    return Promise.resolve(replaced);
  }
  delete(names: readonly string[]): Promise<void> {
    for (const name of names) this.kept.delete(name);
    return Promise.resolve();
  }
}

interface Asked {
  url: string;
  body: { request: string; invitation?: string };
  headers: Headers;
}

/** The key in a signing request, which it must have signed: no more and no less is in there. */
function requested(request: Bytes): Bytes {
  const [info, key] = [request.subarray(INFO, KEY + KEY_BYTES + 2), request.slice(KEY, KEY + KEY_BYTES)];
  const signature = request.subarray(INFO + info.length + 12 + 3);
  const held = createPublicKey({ key: Buffer.from(key), format: "der", type: "spki" });
  assert.ok(verify("sha256", info, held, signature));
  return key;
}

/** A certificate for that key, of so many days around now: the caller's of the vectors, with nobody's signature. */
function certified(key: Bytes, [before, after]: readonly [number, number] = [1, 6]): Bytes {
  const made = AsnConvert.parse(Certificate.readPem(caller.chain)[0]?.der as Bytes, Asn1);
  const own = made.tbsCertificate;
  own.subjectPublicKeyInfo = AsnConvert.parse(key, SubjectPublicKeyInfo);
  own.validity.notBefore.utcTime = new Date(Date.now() - before * DAY_MS);
  own.validity.notAfter.generalTime = undefined as never;
  own.validity.notAfter.utcTime = new Date(Date.now() + after * DAY_MS);
  return new Uint8Array(AsnConvert.serialize(made));
}

/** What a header proves, by whom it is signed; `path` and `about` are what it must be for. */
function proven(header: string, path: string, about: Uint8Array): Proof {
  assert.ok(header.startsWith("Visard "));
  const proof = fromBinary(ProofSchema, base64Decode(header.slice("Visard ".length)));
  const parts = [utf8(proof.host), utf8(path), uint64(proof.timeUnixMs), proof.nonce, about];
  const statement = concat(utf8("visard/v1/proof"), ...parts.map(sized));
  const key = Certificate.read(proof.chain[0] as Uint8Array).publicKey;
  const holder = createPublicKey({ key: Buffer.from(key), format: "der", type: "spki" });
  assert.ok(verify("sha256", statement, holder, proof.signature));
  assert.ok(Math.abs(Number(proof.timeUnixMs) - Date.now()) < 60_000);
  assert.equal(proof.nonce.length, 16);
  return proof;
}

/** A registrar that signs whatever comes, or answers as it is told. */
function registrar(
  answers: (() => Response)[] = [],
  days: readonly [number, number] = [1, 6],
): { options: KeyOptions & { vault: Drawer }; asked: Asked[] } {
  const asked: Asked[] = [];
  const fetch = (input: unknown, init: RequestInit = {}): Promise<Response> => {
    const body = JSON.parse(String(init.body)) as Asked["body"];
    asked.push({ url: String(input), body, headers: new Headers(init.headers) });
    const answer = answers.shift();
    if (answer) return new Promise((resolve) => resolve(answer()));
    return Promise.resolve(Response.json({ chain: [base64Encode(certified(requested(decoded(body.request)), days))] }));
  };
  return { options: { registrar: REGISTRAR, vault: new Drawer(), fetch: fetch as typeof globalThis.fetch }, asked };
}

test("invitation should be read from the fragment, and from nowhere else", () => {
  assert.equal(invitationIn(`https://door.example/enrol#invitation=${INVITATION}&gallery=door`), INVITATION);
  for (const wrong of [
    `?invitation=${INVITATION}`,
    "",
    "#invitation=",
    `#invitation=${INVITATION}x`,
    "#invitation=a.b",
  ]) {
    assert.equal(invitationIn(`https://door.example/enrol${wrong}`), undefined);
  }
});

test("key should be made here, invited and kept, and nobody can read it", async () => {
  const { options, asked } = registrar();
  assert.equal(await BrowserKey.open(options), undefined);
  const key = await BrowserKey.enrol(INVITATION, options);
  assert.equal(key.role, "enroller/page");
  assert.equal(key.due, false);
  const [{ url, body }] = asked as [Asked];
  assert.deepEqual([url, body.invitation, Object.keys(body).length], [`${REGISTRAR}/v1/enrol`, INVITATION, 2]);
  assert.deepEqual([...options.vault.kept.keys()], ["default"]);
  const kept = options.vault.kept.get("default") as Kept;
  assert.equal(kept.pair.privateKey.extractable, false);
  await assert.rejects(crypto.subtle.exportKey("pkcs8", kept.pair.privateKey), { name: "InvalidAccessError" });
  await assert.rejects(crypto.subtle.exportKey("jwk", kept.pair.privateKey), { name: "InvalidAccessError" });
  const again = await BrowserKey.open(options);
  assert.deepEqual([again?.role, again?.notAfterUnixMs], [key.role, key.notAfterUnixMs]);
  await again?.forget();
  assert.equal(await BrowserKey.open(options), undefined);
});

test("call whose answer was lost should be made again with the same key", async () => {
  const { options, asked } = registrar([
    () => {
      throw new TypeError("fetch failed");
    },
  ]);
  await assert.rejects(BrowserKey.enrol(INVITATION, options), errors.Unreachable);
  assert.equal(await BrowserKey.open(options), undefined);
  await BrowserKey.enrol(INVITATION, options);
  const [one, other] = asked.map(({ body }) => requested(decoded(body.request))) as [Bytes, Bytes];
  assert.ok(equal(one, other));
});

test("key should be renewed by the one before, and another one be in its place", async () => {
  const { options, asked } = registrar();
  const key = await BrowserKey.enrol(INVITATION, options);
  const before = key.chain[0] as Bytes;
  await Promise.all([key.renew(), key.renew()]);
  assert.equal(asked.length, 2); // once for both
  const { url, body, headers } = asked[1] as Asked;
  assert.deepEqual([url, Object.keys(body)], [`${REGISTRAR}/v1/renew`, ["request"]]);
  const request = decoded(body.request);
  const proof = proven(headers.get("authorization") ?? "", "/v1/renew", await sha256(request));
  assert.equal(proof.host, "registrar.example");
  assert.ok(equal(proof.chain[0] as Uint8Array, before));
  assert.ok(equal(Certificate.read(key.chain[0] as Bytes).publicKey, requested(request)));
  assert.ok(!equal(key.chain[0] as Bytes, before));
  assert.ok(equal((options.vault.kept.get("default") as Kept).chain[0] as Bytes, key.chain[0] as Bytes));
  proven(await key.proof("https://gateway.example/a/b"), "/a/b", new Uint8Array(0)); // by the new one
});

test("key that was forgotten should not come back", async () => {
  for (const when of ["before", "meanwhile"]) {
    const { options } = registrar();
    const { vault } = options;
    const key = await BrowserKey.enrol(INVITATION, options);
    const asking = {
      ...options,
      fetch: async (...given: Parameters<typeof fetch>): Promise<Response> => {
        await vault.delete(["default"]);
        return await (options.fetch as typeof fetch)(...given);
      },
    };
    const other = (await BrowserKey.open(asking)) as BrowserKey;
    if (when === "before") await key.forget();
    await assert.rejects(other.renew(), errors.FailedPrecondition);
    assert.equal(vault.kept.size, 0);
  }
});

test("key that another tab has renewed should be taken from there", async () => {
  const { options, asked } = registrar();
  const key = await BrowserKey.enrol(INVITATION, options);
  const tab = (await BrowserKey.open(options)) as BrowserKey;
  await tab.renew();
  await key.renew();
  assert.equal(asked.length, 2);
  assert.ok(equal(key.chain[0] as Bytes, tab.chain[0] as Bytes));
  proven(await key.proof("https://gateway.example/a/b"), "/a/b", new Uint8Array(0)); // by the one of its certificate
});

test("key should be due at half of its time, and none when it has ended", async () => {
  const old = registrar([], [4, 3]);
  assert.equal((await BrowserKey.enrol(INVITATION, old.options)).due, true);
  const ended = registrar([], [8, -1]);
  await BrowserKey.enrol(INVITATION, ended.options);
  assert.equal(await BrowserKey.open(ended.options), undefined);
});

test("what the registrar says should be an error, and all stay as it was", async () => {
  const said = (status: number, message: string, headers = {}): (() => Response) => {
    return () => Response.json({ error: { message } }, { status, headers });
  };
  const { publicKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]);
  const strange = certified(new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)));
  const cases: [() => Response, new (...args: never[]) => Error, RegExp][] = [
    [said(403, "the invitation was used already"), errors.PermissionDenied, /used already/],
    [said(400, "request: PKCS #10"), errors.InvalidRequest, /PKCS/],
    [said(429, "too many requests", { "retry-after": "3" }), errors.Exhausted, /too many/],
    [said(503, "busy"), errors.Unavailable, /busy/],
    [() => new Response("<html>"), errors.Unreachable, /nobody answers/],
    [() => Response.json({ chain: [] }), errors.InternalError, /no certificate/],
    [() => Response.json({ chain: ["AAAA"] }), errors.InternalError, /no certificate/],
    [() => Response.json({ chain: [base64Encode(strange)] }), errors.UntrustedKey, /another key/],
  ];
  for (const [answer, kind, text] of cases) {
    const { options } = registrar([answer]);
    await assert.rejects(
      BrowserKey.enrol(INVITATION, options),
      (error) => error instanceof kind && text.test(error.message),
    );
    const { options: known, asked } = registrar();
    const key = await BrowserKey.enrol(INVITATION, known);
    const before = key.chain[0] as Bytes;
    const failing = await BrowserKey.open({ ...known, fetch: () => Promise.resolve(answer()) });
    await assert.rejects(failing?.renew() ?? Promise.resolve(), kind);
    assert.ok(equal((known.vault.kept.get("default") as Kept).chain[0] as Bytes, before));
    assert.equal(asked.length, 1);
  }
  await assert.rejects(BrowserKey.enrol("nonsense", registrar().options), errors.InvalidRequest);
});

test("transport should prove the role with each request, for its host and path", async () => {
  const { options } = registrar();
  const key = await BrowserKey.enrol(INVITATION, options);
  const seen: Headers[] = [];
  const fetch = ((_: unknown, init: RequestInit): Promise<Response> => {
    seen.push(new Headers(init.headers));
    return Promise.resolve(Response.json({ code: "unavailable" }, { status: 503 }));
  }) as typeof globalThis.fetch;
  const transport = new ConnectTransport({ gateway: "https://[::1]:7443", signer: key, fetch });
  const limits = { signal: new AbortController().signal, timeoutMs: 1000 };
  const { getStatus, verify: verifying } = FaceMatching.method;
  await assert.rejects(transport.unary(getStatus, { $typeName: getStatus.input.typeName, layers: false }, limits));
  await assert.rejects(transport.upload(verifying, [], limits));
  const paths = ["/visard.v1.FaceMatching/GetStatus", "/visard.v1.FaceMatching/Verify"];
  const proofs = seen.map((headers, k) =>
    proven(headers.get("authorization") ?? "", paths[k] ?? "", new Uint8Array(0)),
  );
  assert.deepEqual(
    proofs.map(({ host }) => host),
    ["::1", "::1"],
  );
  assert.ok(!equal(proofs[0]?.nonce as Bytes, proofs[1]?.nonce as Bytes));
});
