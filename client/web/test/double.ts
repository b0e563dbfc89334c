/** A gateway with three parties behind it, in memory: they open what is sealed to them, and seal their answers. */

import {
  clone,
  create,
  type DescMessage,
  type DescMethod,
  fromJson,
  type JsonValue,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { concat, equal, random } from "../src/bytes.ts";
import { combine } from "../src/combining.ts";
import { Context } from "../src/context.ts";
import {
  type Chunk,
  type Outcome,
  OutcomeSchema,
  type PartyKey,
  PartyKeySchema,
  type Request,
  RequestSchema,
  type SealedEnvelope,
  type SealedResult,
  SealedResultSchema,
  type Upload,
} from "../src/gen/visard/v1/common_pb.js";
import { commitment, openShare } from "../src/sealing.ts";
import { Secret } from "../src/secret.ts";
import { Signer, signedBy } from "../src/statements.ts";
import type { CallOptions, Transport } from "../src/transport.ts";
import { Trust } from "../src/vouching.ts";
import { decoded, read } from "./vectors.ts";

interface Vectors {
  ca: string;
  caller: { chain: string; key: string };
  parties: { private_key: string; key: JsonValue }[];
}

const VECTORS = read<Vectors>("parties");
const SIDE = 112;
export const TRUST: Trust = Trust.one(VECTORS.ca);
export const SIGNER: Signer = await Signer.fromPem(VECTORS.caller.chain, VECTORS.caller.key);

/** What each party says of a request. */
export type Answer = (request: Request, party: number) => Partial<Outcome> & { bit?: boolean };

/** What was asked, by whom, and which images came. */
export interface Seen {
  readonly method: string;
  readonly request: Request;
  readonly images: readonly bigint[];
}

/** A transport whose next calls fail with the errors of `failures`, after they were received. */
export class Deployment implements Transport {
  readonly seen: Seen[] = [];
  readonly failures: Error[] = [];
  answer: Answer = () => ({ bit: true, operatingPoint: "default" });
  keysAsked = 0;

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { input: I; output: O },
    message: MessageShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>> {
    return this.#answered(method, message, options) as Promise<MessageShape<O>>;
  }

  async upload<O extends DescMessage>(
    method: DescMethod & { output: O },
    parts: Iterable<Upload>,
    { signal }: CallOptions,
  ): Promise<MessageShape<O>> {
    signal.throwIfAborted();
    const [first, ...rest] = parts;
    if (first?.part.case !== "header" || !first.part.value.request) throw new Error("an upload begins with its header");
    const chunks = rest.map((part) => part.part.value as Chunk);
    const sealed = [0, 1, 2].map((party) =>
      concat(...chunks.filter((one) => one.party === party).map((one) => one.data)),
    );
    const results = await this.#served(method.name, first.part.value.request, sealed);
    return create(method.output, { results } as never);
  }

  async #answered(method: DescMethod, message: unknown, { signal }: CallOptions): Promise<unknown> {
    signal.throwIfAborted();
    if (method.name === "GetParties") {
      this.keysAsked++;
      const parties = VECTORS.parties.map(({ key }): PartyKey => fromJson(PartyKeySchema, key));
      return create(method.output, { parties, requestsAtATime: 2 } as never);
    }
    if (method.name === "ListModels") {
      const points = [{ name: "default", distance: 1.1, falseMatchRate: 1e-3 }];
      const model = { name: "face", inputShape: [3, SIDE, SIDE], fieldBits: 31, chip: "arcface-112", points };
      return create(method.output, { models: [model] } as never);
    }
    const { request, envelopes } = message as { request: Request; envelopes: SealedEnvelope[] };
    const results = await this.#served(
      method.name,
      request,
      envelopes.map((one) => one.ciphertext),
    );
    return create(method.output, { results } as never);
  }

  async #served(method: string, request: Request, sealed: readonly Uint8Array[]): Promise<SealedResult[]> {
    const [name] = await signedBy(TRUST, request, Date.now());
    if (name !== "visard://enroller/page") throw new Error("another caller");
    const context = await Context.of(request);
    const opened = await Promise.all(
      sealed.map(async (one, party) => {
        if (!equal(await commitment(one), request.shareDigests[party] as Uint8Array)) throw new Error("other shares");
        return openShare(new Secret(decoded(VECTORS.parties[party]?.private_key ?? "")), context, party, one);
      }),
    );
    const shares = opened.map((one) => one.share) as [Uint8Array, Uint8Array, Uint8Array];
    this.seen.push({ method, request: clone(RequestSchema, request), images: combine(shares, 31) });
    const failure = this.failures.shift();
    if (failure) throw failure;
    const outcomes = this.#outcomes(request);
    return Promise.all(
      outcomes.map((one, party) => sealedResult(opened[party]?.replyKey ?? random(0), context, party, one)),
    );
  }

  #outcomes(request: Request): Outcome[] {
    const [one, two] = random(2) as unknown as [number, number];
    return [0, 1, 2].map((party) => {
      const { bit, ...fields } = this.answer(request, party);
      const pieces = [one, two, one ^ two ^ Number(bit)];
      const halves = [pieces[party], pieces[(party + 2) % 3]].map((piece) => Uint8Array.of(piece as number));
      const shared = bit === undefined ? {} : { bits: 1, pieceOwn: halves[0], piecePrevious: halves[1] };
      return create(OutcomeSchema, { ...shared, ...fields } as never);
    });
  }
}

async function sealedResult(key: Uint8Array, context: Context, party: number, outcome: Outcome): Promise<SealedResult> {
  const nonce = random(12);
  const cipher = new Chacha20Poly1305().createEncryptionContext(new Uint8Array(key));
  const ciphertext = await cipher.seal(nonce, toBinary(OutcomeSchema, outcome), context.answer(party));
  return create(SealedResultSchema, { party, nonce, ciphertext: new Uint8Array(ciphertext) });
}
