/** A request on its way out: its shares sealed each to its party, named by their hashes, and all of it signed (visard.envelopes). */

import { create } from "@bufbuild/protobuf";
import { Context } from "./context.ts";
import { InvalidRequest } from "./errors.ts";
import {
  type Request,
  type SealedEnvelope,
  SealedEnvelopeSchema,
  type Upload,
  UploadSchema,
} from "./gen/visard/v1/common_pb.js";
import { CHUNK_BYTES, PARTIES } from "./limits.ts";
import { commitment, keyId, newReplyKey, sealShare } from "./sealing.ts";
import type { Secret } from "./secret.ts";
import type { RequestSigner } from "./statements.ts";

/** What a request brings that has no images: the keys for its answers alone. */
export const NO_SHARES: readonly Uint8Array[] = Array.from({ length: PARTIES }, () => new Uint8Array(0));

/** A signed request, what is handed in with it for each party, and the keys under which the parties will answer. */
export interface SealedRequest {
  readonly request: Request;
  readonly envelopes: readonly SealedEnvelope[];
  readonly replyKeys: readonly Secret[];
  /** What the answers are bound to. */
  readonly context: Context;
}

/** Seal a share (or nothing) to each party's key, say so in the request, and sign it; fresh reply keys each time. */
export async function seal(
  request: Request,
  shares: readonly Uint8Array[],
  publicKeys: readonly Uint8Array[],
  signer: Pick<RequestSigner, "sign">,
): Promise<SealedRequest> {
  if (shares.length !== PARTIES || publicKeys.length !== PARTIES) {
    throw new InvalidRequest(`shares and keys: ${PARTIES} of each`);
  }
  const fields = await Context.of(request);
  const replyKeys = publicKeys.map(newReplyKey);
  const envelopes = await Promise.all(
    publicKeys.map(async (key, party) =>
      create(SealedEnvelopeSchema, {
        keyId: await keyId(key),
        ciphertext: await sealShare(key, fields, party, replyKeys[party] as Secret, shares[party] as Uint8Array),
      }),
    ),
  );
  request.shareDigests = await Promise.all(envelopes.map((envelope) => commitment(envelope.ciphertext)));
  await signer.sign(request);
  return { request, envelopes, replyKeys, context: await Context.of(request) };
}

/** A sealed request as an upload: the header, then the shares' chunks in turn, so that all parties receive at the same time. */
export function* upload({ request, envelopes }: SealedRequest): Generator<Upload, void> {
  const shares = envelopes.map(({ keyId: id, ciphertext }, party) => ({
    party,
    keyId: id,
    size: BigInt(ciphertext.length),
  }));
  yield create(UploadSchema, { part: { case: "header", value: { request, shares } } });
  const longest = Math.max(...envelopes.map((envelope) => envelope.ciphertext.length));
  for (let index = 0; index * CHUNK_BYTES < longest; index++) {
    for (const [party, { ciphertext }] of envelopes.entries()) {
      const data = ciphertext.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
      const last = (index + 1) * CHUNK_BYTES >= ciphertext.length;
      yield create(UploadSchema, { part: { case: "chunk", value: { party, index, data, last } } });
    }
  }
}
