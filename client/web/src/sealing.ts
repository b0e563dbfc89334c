/**
 * Sealing: what travels through the gateway is readable at its end alone, and means one request alone (visard_wire.sealing).
 *
 * Shares are sealed with HPKE (RFC 9180) in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; `info`
 * binds the request and the party. The caller puts a fresh 32-byte reply key inside each share: a party's answer is sealed with
 * ChaCha20-Poly1305 (RFC 8439) under it, so that it is secret and can come from that party alone.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { type Bytes, concat, random } from "./bytes.ts";
import type { Context } from "./context.ts";
import { sha256 } from "./digests.ts";
import { SealError } from "./errors.ts";
import {
  type Outcome,
  OutcomeSchema,
  type SealedResult,
  type ShareEnvelope,
  ShareEnvelopeSchema,
} from "./gen/visard/v1/common_pb.js";
import { KEY_ID_BYTES } from "./limits.ts";
import { Secret } from "./secret.ts";

const AEAD = new Chacha20Poly1305();
const SUITE = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: AEAD });
const REPLY_KEY_BYTES = 32;
const NONCE_BYTES = 12;

/** Short name of a sealing key. */
export async function keyId(publicKey: Uint8Array): Promise<Bytes> {
  return (await sha256(publicKey)).slice(0, KEY_ID_BYTES);
}

/** What a request says of one sealed share: its SHA-256. */
export function commitment(sealed: Uint8Array): Promise<Bytes> {
  return sha256(sealed);
}

/** A fresh key for one party's answer to one request: 32 random bytes. */
export function newReplyKey(): Secret {
  return new Secret(random(REPLY_KEY_BYTES));
}

/** Seal a share (or nothing) and a reply key to a party's X25519 key, 32 raw bytes. */
export async function sealShare(
  publicKey: Uint8Array,
  context: Context,
  party: number,
  replyKey: Secret,
  share: Uint8Array,
): Promise<Bytes> {
  const recipientPublicKey = await SUITE.kem.deserializePublicKey(new Uint8Array(publicKey));
  const sender = await SUITE.createSenderContext({ recipientPublicKey, info: context.info(party) });
  const envelope = create(ShareEnvelopeSchema, { replyKey: replyKey.reveal(), share });
  const plaintext = toBinary(ShareEnvelopeSchema, envelope);
  const ciphertext = await sender.seal(plaintext);
  plaintext.fill(0);
  return concat(new Uint8Array(sender.enc), new Uint8Array(ciphertext));
}

/** What a party opens with its private key (32 raw bytes): for tests, which play parties. Raises SealError. */
export async function openShare(
  privateKey: Secret,
  context: Context,
  party: number,
  sealed: Uint8Array,
): Promise<ShareEnvelope> {
  try {
    const recipientKey = await SUITE.kem.deserializePrivateKey(privateKey.reveal());
    const [enc, ciphertext] = [new Uint8Array(sealed.slice(0, 32)), new Uint8Array(sealed.slice(32))];
    const recipient = await SUITE.createRecipientContext({ recipientKey, enc, info: context.info(party) });
    return fromBinary(ShareEnvelopeSchema, new Uint8Array(await recipient.open(ciphertext)));
  } catch (error) {
    throw new SealError({ cause: error });
  }
}

/** A party's answer, of which nobody else has the key; raises SealError, which never says why. */
export async function openResult(
  replyKey: Secret,
  context: Context,
  party: number,
  sealed: SealedResult,
): Promise<Outcome> {
  if (sealed.nonce.length !== NONCE_BYTES) throw new SealError();
  try {
    const cipher = AEAD.createEncryptionContext(replyKey.reveal());
    const plaintext = await cipher.open(sealed.nonce, sealed.ciphertext, context.answer(party));
    return fromBinary(OutcomeSchema, new Uint8Array(plaintext));
  } catch (error) {
    throw new SealError({ cause: error });
  }
}
