/**
 * Which of the parties' sealing keys a client seals for: each vouched for by its party, none older than one seen before
 * (visard_wire.partykeys, visard.trust, visard.seen).
 */

import { type Bytes, concat, uint64, utf8 } from "./bytes.ts";
import { UntrustedKey } from "./errors.ts";
import type { PartyKey } from "./gen/visard/v1/common_pb.js";
import { PARTIES } from "./limits.ts";
import { signers } from "./statements.ts";
import type { Trust } from "./vouching.ts";

const KEY_BYTES = 32;
const CLOCK_SKEW_MS = 60_000; // how far a party's clock may be ahead of a client's

/** The three parties' public keys, 32 bytes each, in order, and the time from which they must be fetched anew. */
export interface TrustedKeys {
  readonly public: readonly Bytes[];
  readonly untilUnixMs: number;
}

/** Where the highest serial of each party's keys is remembered: an older one, however well signed, is an old key. */
export interface SerialStore {
  /** Raise each party's serial to this one, in one step; what was there before, by party. A party may be missing. */
  raise(serials: ReadonlyMap<number, bigint>): Promise<ReadonlyMap<number, bigint>>;
}

/** Serials in memory: for as long as the page lives. */
export class SeenInMemory implements SerialStore {
  readonly #highest = new Map<number, bigint>();

  raise(serials: ReadonlyMap<number, bigint>): Promise<ReadonlyMap<number, bigint>> {
    const before = new Map(this.#highest);
    for (const [party, serial] of serials) if (serial > (before.get(party) ?? 0n)) this.#highest.set(party, serial);
    return Promise.resolve(before);
  }
}

/** The keys of parties 0, 1 and 2, which are remembered as seen; raises UntrustedKey. */
export async function trusted(
  trust: Trust,
  offered: readonly PartyKey[],
  seen: SerialStore,
  nowUnixMs: number,
): Promise<TrustedKeys> {
  if (offered.length !== PARTIES) throw new UntrustedKey("the keys of three parties are needed");
  await Promise.all(offered.map((key, party) => verifyPartyKey(trust, party, key, nowUnixMs)));
  const before = await seen.raise(new Map(offered.map((key) => [key.party, key.serial])));
  for (const { party, serial } of offered) {
    if (serial < (before.get(party) ?? 0n)) {
      throw new UntrustedKey(`the sealing key offered for party ${party} is older than one that was seen before`);
    }
  }
  const ends = offered.map((key) => Number(key.notAfterUnixMs));
  return { public: offered.map((key) => new Uint8Array(key.publicKey)), untilUnixMs: Math.min(...ends) };
}

/** What a party signs about its key. */
export function statement(key: PartyKey): Bytes {
  const times = [key.serial, key.notBeforeUnixMs, key.notAfterUnixMs].map(uint64);
  return concat(utf8("visard party key v2"), Uint8Array.of(key.party), ...times, key.publicKey);
}

/**
 * Check what is offered as a party's key; raises UntrustedKey saying what is wrong.
 *
 * Where each operator has an authority of its own, that of this party alone vouches for it.
 */
export async function verifyPartyKey(trust: Trust, party: number, key: PartyKey, nowUnixMs: number): Promise<void> {
  const offered = `the sealing key offered for party ${party}`;
  if (key.party !== party) throw new UntrustedKey(`${offered} is said to be that of another party`);
  if (key.publicKey.length !== KEY_BYTES) throw new UntrustedKey(`${offered} has not ${KEY_BYTES} bytes`);
  if (key.notAfterUnixMs <= nowUnixMs) {
    throw new UntrustedKey(`${offered} has expired: its statement is an old one, or a clock is wrong`);
  }
  if (key.notBeforeUnixMs > nowUnixMs + CLOCK_SKEW_MS) {
    throw new UntrustedKey(`${offered} is not valid yet: check the clocks`);
  }
  const { chain, signature } = key;
  let names: string[];
  try {
    names = await signers(trust, { chain, statement: statement(key), signature, about: "statement" }, nowUnixMs);
  } catch (error) {
    if (!(error instanceof UntrustedKey)) throw error;
    throw new UntrustedKey(`${offered} is not signed as it must be: wanted is ${error.message}`, { cause: error });
  }
  if (names.length !== 1 || names[0] !== `visard://party/${party}`) {
    throw new UntrustedKey(`${offered} is signed by another holder of a certificate`);
  }
}
