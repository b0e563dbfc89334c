/**
 * Hashes over several parts, each preceded by its length: no two lists of parts are hashed alike.
 *
 * A length is four bytes, big-endian. What differs from one use to the next is the label in front (visard_wire.digests).
 */

import { type Bytes, concat, uint32, utf8 } from "./bytes.ts";

/** A part behind its length, as it goes into a hash. */
export function sized(part: Uint8Array): Bytes {
  return concat(uint32(part.length), part);
}

/** SHA-256, 32 bytes. */
export async function sha256(data: Uint8Array): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(data)));
}

/** SHA-256 over a label and parts, each with its length. A label with fields of fixed size behind it is one, too. */
export function ofParts(label: Uint8Array, parts: readonly Uint8Array[]): Promise<Bytes> {
  return sha256(concat(label, ...parts.map(sized)));
}

/** The digest of the subjects of a gallery's rows, in order: all parties send it with the answer to a search for the nearest. */
export function ofRowTable(subjects: readonly string[]): Promise<Bytes> {
  return ofParts(utf8("visard row table v1"), subjects.map(utf8));
}
