/** Signing requests: a key asks for a certificate, and proves that it is there (PKCS #10, RFC 2986). */

import { type Bytes, concat } from "./bytes.ts";
import { toDer, wrapped } from "./der.ts";

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
const VERSION = Uint8Array.of(0x02, 0x01, 0x00);
const NOBODY = Uint8Array.of(SEQUENCE, 0x00); // who it is for is said by who signs it
const NO_ATTRIBUTES = Uint8Array.of(0xa0, 0x00);
const ECDSA_SHA256 = Uint8Array.of(SEQUENCE, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02);

/** A request for a certificate of this pair's public key, on P-256, in DER. */
export async function signingRequest({ publicKey, privateKey }: CryptoKeyPair): Promise<Bytes> {
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
  const info = wrapped(SEQUENCE, VERSION, NOBODY, spki, NO_ATTRIBUTES);
  const raw = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, info);
  const signature = wrapped(BIT_STRING, Uint8Array.of(0), toDer(new Uint8Array(raw)));
  return wrapped(SEQUENCE, concat(info, ECDSA_SHA256, signature));
}
