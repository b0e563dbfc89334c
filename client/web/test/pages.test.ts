/** The pages for people, as far as they need no browser: what a site's settings may be, and which text is shown. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { configOf } from "../pages/config.ts";
import { consentIn } from "../pages/operator.ts";
import { errorKey, languageOf, sayer } from "../pages/texts.ts";
import { utf8 } from "../src/bytes.ts";
import * as errors from "../src/errors.ts";
import { read } from "./vectors.ts";

const { ca } = read<{ ca: string }>("parties");
const GIVEN = { gateway: "https://gateway.example", authority: ca, model: "face", gallery: "default" };

test("site should have its settings, or be told which one is wrong", async () => {
  const consent = { version: "2026-11", text: { en: "I agree" } };
  const config = await configOf({ ...GIVEN, consent, review: true });
  assert.deepEqual([config.consent, config.review, config.registrar], [consent, true, ""]);
  assert.equal((await configOf(GIVEN)).consent, undefined);
  assert.deepEqual((await configOf(GIVEN)).views, ["enrol", "verify", "kiosk", "operator"]);
  assert.deepEqual((await configOf({ ...GIVEN, views: ["verify", "enrol"] })).views, ["verify", "enrol"]);
  const cases = [
    [{ ...GIVEN, gateway: 1 }, /^gateway: a text/],
    ...["enrol", [], ["enrol", "enrol"], ["key"], [1]].map(
      (views) => [{ ...GIVEN, views }, /^views: of enrol/] as const,
    ),
    [{ ...GIVEN, consent: { version: "1", text: {} } }, /^consent.text/],
    [{ ...GIVEN, authority: undefined, roots: { "party/0": ca } }, /^party\/1/],
    [[], /^gateway/],
    [null, /^config.json/],
  ] as const;
  for (const [given, message] of cases) await assert.rejects(configOf(given), { name: "RangeError", message });
});

test("text should be in the language that is wished for, its places filled, and nothing in it be markup of ours", () => {
  assert.deepEqual([languageOf(["fr-FR", "de-AT"]), languageOf(["fr"])], ["de", "en"]);
  assert.equal(sayer("de")("match", { name: "{name}<b>" }), "Ja: das ist {name}<b>.");
});

test("error should be told by the nearest kind that has a text", () => {
  const kinds = [
    new errors.NoFace("x"),
    new errors.StaleKey("x"),
    new errors.SealError(),
    new errors.Undone("x"),
    new Error("x"),
  ];
  const expected = ["NoFace", "RequestError", "TrustError", "ServiceError", "Error"];
  assert.deepEqual(kinds.map(errorKey), expected);
  assert.equal(errorKey("no error"), "Error");
});

test("consent should be read where a page has kept it, and nothing else be taken for one", () => {
  assert.equal(consentIn(utf8('{"consent":"2026-11","at":"2026-11-28T10:00:00Z"}')), "2026-11, 2026-11-28T10:00:00Z");
  for (const other of [utf8(""), utf8("null"), utf8('{"consent":1}'), utf8("a note"), Uint8Array.of(255)]) {
    assert.equal(consentIn(other), undefined);
  }
});
