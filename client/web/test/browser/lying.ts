/** A gateway that changes what passes through it, between the page and the real one: of an upload, of an answer, of the keys. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Route } from "playwright-core";
import { GetPartiesResponseSchema, ResultSchema } from "../../src/gen/visard/v1/gateway_pb.js";
import type { Visited } from "./chromium.ts";

const HEAD = 5; // flags and length of a message
const PLACES = 4; // of an upload, all over it

/** What becomes of each lie: the error's name, or what was answered in spite of it. */
export async function lies({ tab, ask }: Visited, gateway: string, subject: string): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const lied = async (what: string, method: string, lie: (route: Route) => Promise<void>): Promise<void> => {
    const address = `${gateway}/visard.v1.FaceMatching/${method}`;
    await tab.route(address, lie);
    const { answer, error } = await ask("verify", subject);
    await tab.unroute(address);
    found[what] = error ?? answer;
  };
  await lied("a key", "GetParties", (route) => answered(route, keyChanged));
  for (let place = 0; place < PLACES; place++) {
    await lied(`upload, ${place} of ${PLACES}`, "Verify", (route) => {
      const body = route.request().postDataBuffer() ?? Buffer.alloc(0);
      return route.continue({ postData: flipped(body, Math.floor(((place + 0.5) * body.length) / PLACES)) });
    });
  }
  await lied("the subject", "Verify", (route) => {
    const body = route.request().postDataBuffer() ?? Buffer.alloc(0);
    return route.continue({ postData: flipped(body, body.indexOf(subject)) });
  });
  for (const party of [0, 1, 2]) {
    await lied(`answer of party ${party}`, "Verify", (route) => answered(route, (body) => sealedChanged(body, party)));
  }
  return found;
}

async function answered(route: Route, change: (body: Buffer) => Buffer): Promise<void> {
  const response = await route.fetch();
  await route.fulfill({ response, body: change(await response.body()) });
}

function flipped(bytes: Uint8Array, place: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(place) ^ 1, place);
  return changed;
}

function keyChanged(body: Buffer): Buffer {
  const told = fromBinary(GetPartiesResponseSchema, body);
  for (const party of told.parties.slice(0, 1)) party.publicKey = flipped(party.publicKey, 0);
  return Buffer.from(toBinary(GetPartiesResponseSchema, told));
}

/** One byte of what a party has sealed. */
function sealedChanged(body: Buffer, party: number): Buffer {
  const end = HEAD + body.readUInt32BE(1);
  const told = fromBinary(ResultSchema, body.subarray(HEAD, end));
  const result = told.results[party];
  if (result) result.ciphertext = flipped(result.ciphertext, party * Math.floor((result.ciphertext.length - 1) / 2));
  return Buffer.concat([body.subarray(0, HEAD), toBinary(ResultSchema, told), body.subarray(end)]);
}
