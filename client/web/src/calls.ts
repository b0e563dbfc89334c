/** Between a method of the client and the wire: the parties' keys, deadlines, and what is sent again how (visard.calls). */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { random } from "./bytes.ts";
import { abortable, type Deadline } from "./deadline.ts";
import { type SealedRequest, seal } from "./envelopes.ts";
import {
  DeadlineExceeded,
  Deviated,
  Exhausted,
  InvalidRequest,
  StaleKey,
  Unavailable,
  Undone,
  Unreachable,
  UntrustedKey,
} from "./errors.ts";
import { type Request, RequestSchema } from "./gen/visard/v1/common_pb.js";
import { FaceMatching } from "./gen/visard/v1/gateway_pb.js";
import { MAX_INSTEAD, REQUEST_ID_BYTES } from "./limits.ts";
import { type SerialStore, type TrustedKeys, trusted } from "./partykeys.ts";
import { Places } from "./places.ts";
import type { RequestSigner } from "./statements.ts";
import type { CallOptions, Transport } from "./transport.ts";
import type { Trust } from "./vouching.ts";

const LIFETIME_MS = 300_000;
const FIRST_PAUSE_MS = 300; // before a call is made again
const LONGEST_PAUSE_MS = 5000;
const DEVIATIONS = 1; // of a party, after which a call is made again
const FIRST_CONTACT_MS = 5000; // who has never been reached in this time is not there
const AT_A_TIME = 16; // of a gateway that says nothing

/** What a caller needs: the way to the gateway, whom to believe, and with which key it signs. */
export interface Connection {
  readonly transport: Transport;
  readonly trust: Trust;
  readonly signer: RequestSigner;
  readonly seen: SerialStore;
  /** While the services are exhausted or away a call is made again. */
  readonly retry: boolean;
}

/** Fresh shares, one a party. */
export type Shares = () => readonly Uint8Array[];
/** Sends a sealed request. */
export type Send<T> = (sealed: SealedRequest, options: CallOptions) => Promise<T>;
/** An answer, and the request that it is bound to. */
export type Answered<T> = readonly [answer: T, sealed: SealedRequest];

/** A caller of the gateway. Messages go in here and messages come out. */
export class Caller {
  readonly #connection: Connection;
  #keys: TrustedKeys | undefined;
  #places: Places | undefined;
  #fetching: Promise<TrustedKeys> | undefined; // calls that begin together fetch keys once
  #reached = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The way to the gateway. */
  get transport(): Transport {
    return this.#connection.transport;
  }

  /** A request that begins now; raises InvalidRequest for what does not fit into its fields. */
  request(fields: MessageInitShape<typeof RequestSchema>): Request {
    const now = BigInt(Date.now());
    const times = { sentUnixMs: now, expiresUnixMs: now + BigInt(LIFETIME_MS) };
    const request = create(RequestSchema, { requestId: random(REQUEST_ID_BYTES), ...times, ...fields });
    checkFields(request);
    return request;
  }

  /**
   * A write: the very same again when its answer is lost, and under a fresh id when it was undone.
   *
   * Its id stands for what was handed in: sealed anew under the same id it would be refused, had it been made before. And nobody
   * vouches for an error: the new request names the earlier ones, so that at most one of them is ever made.
   */
  write<T>(request: Request, shares: Shares, send: Send<T>, deadline: Deadline): Promise<Answered<T>> {
    let sealed: SealedRequest | undefined;
    return this.#withFreshKeys(deadline, async (options) => {
      sealed ??= await this.#sealed(request, shares(), deadline);
      const handedIn = sealed;
      try {
        return [await send(handedIn, options), handedIn];
      } catch (error) {
        if (error instanceof Undone && request.insteadOf.length < MAX_INSTEAD) {
          request.insteadOf.push(request.requestId); // after so many the last is sent again as it is
          request.requestId = random(REQUEST_ID_BYTES);
          sealed = undefined;
        } else if (error instanceof StaleKey) sealed = undefined;
        throw error;
      }
    });
  }

  /** A request that changes nothing: another one, with fresh shares, whenever it is sent again. */
  read<T>(request: () => Request, shares: Shares, send: Send<T>, deadline: Deadline): Promise<Answered<T>> {
    return this.#withFreshKeys(deadline, async (options) => {
      const sealed = await this.#sealed(request(), shares(), deadline);
      return [await send(sealed, options), sealed];
    });
  }

  /** A call, repeated while the service is exhausted or away, until the deadline. A party's deviation is met a second time only. */
  async again<T>(deadline: Deadline, call: (options: CallOptions) => Promise<T>): Promise<T> {
    const started = performance.now();
    let deviations = 0;
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await call({ signal: deadline.signal, timeoutMs: Math.ceil(deadline.leftMs) });
        this.#reached = true;
        return answer;
      } catch (error) {
        deadline.signal.throwIfAborted();
        deviations += Number(error instanceof Deviated);
        this.#reached ||= !(error instanceof Unavailable || error instanceof DeadlineExceeded);
        const pause = pauseMs(error, attempt);
        const hopeless = pause === undefined || deviations > DEVIATIONS || pause > deadline.leftMs;
        if (hopeless || !this.#connection.retry || this.#impatient(error, started, pause)) throw error;
        await deadline.pause(pause);
      }
    }
  }

  /** Whether nobody was ever reached, for so long that nobody is there. */
  #impatient(error: unknown, started: number, pause: number): boolean {
    const waited = performance.now() + pause - started;
    return error instanceof Unreachable && !this.#reached && waited > FIRST_CONTACT_MS;
  }

  /** Work that seals, done once more when a party has another key by now: a refused share was not looked at. */
  async #withFreshKeys<T>(deadline: Deadline, once: (options: CallOptions) => Promise<T>): Promise<T> {
    const turn = async (): Promise<T> => {
      await this.#partyKeys(deadline); // which bring the number of places
      const places = this.#places as Places;
      return this.again(deadline, (options) => places.with(deadline.signal, () => once(options)));
    };
    try {
      return await turn();
    } catch (error) {
      if (!(error instanceof StaleKey)) throw error;
      this.#keys = undefined;
      return turn();
    }
  }

  async #sealed(request: Request, shares: readonly Uint8Array[], deadline: Deadline): Promise<SealedRequest> {
    return seal(request, shares, (await this.#partyKeys(deadline)).public, this.#connection.signer);
  }

  /** The parties' sealing keys, for which each vouches, and which are in use now; raises UntrustedKey. */
  async #partyKeys(deadline: Deadline): Promise<TrustedKeys> {
    while (this.#fetching) {
      // whoever asks for them may give up: then we ask ourselves
      await abortable(this.#fetching, deadline.signal).catch(() => deadline.signal.throwIfAborted());
    }
    if (this.#keys && Date.now() < this.#keys.untilUnixMs) return this.#keys;
    this.#fetching = this.#fetchedKeys(deadline).finally(() => {
      this.#fetching = undefined;
    });
    this.#keys = await this.#fetching;
    return this.#keys;
  }

  async #fetchedKeys(deadline: Deadline): Promise<TrustedKeys> {
    try {
      return await this.#fetchedOnce(deadline);
    } catch (error) {
      // a party may have changed its key since it answered, and another page of ours have seen that
      if (error instanceof UntrustedKey) return this.#fetchedOnce(deadline);
      throw error;
    }
  }

  async #fetchedOnce(deadline: Deadline): Promise<TrustedKeys> {
    const { transport, trust, seen } = this.#connection;
    const ask = create(FaceMatching.method.getParties.input);
    const { parties, requestsAtATime } = await this.again(deadline, (options) =>
      transport.unary(FaceMatching.method.getParties, ask, options),
    );
    this.#places ??= new Places(requestsAtATime || AT_A_TIME);
    return trusted(trust, parties, seen, Date.now());
  }
}

/** Until the next attempt: what the service says, or ever more, and never the same for all who wait; undefined for no other attempt. */
function pauseMs(error: unknown, attempt: number): number | undefined {
  if (error instanceof Exhausted) return error.retryAfter * 1000 * (1 + 0.2 * Math.random());
  if (!(error instanceof Unavailable || error instanceof Undone)) return undefined;
  return Math.min(FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10), LONGEST_PAUSE_MS) * (0.7 + 0.3 * Math.random());
}

/** Raises InvalidRequest that names the first field which does not take its value: a page may be without types. */
function checkFields(request: Request): void {
  for (const { localName, name, fieldKind, scalar } of RequestSchema.fields as readonly Shape[]) {
    const value = (request as unknown as Record<string, unknown>)[localName];
    const wanted = fieldKind === "scalar" ? KINDS.get(scalar ?? 0) : undefined;
    if (wanted && !wanted.takes(value)) throw new InvalidRequest(`${name}: ${wanted.words}`);
  }
}

interface Shape {
  readonly localName: string;
  readonly name: string;
  readonly fieldKind: string;
  readonly scalar?: number;
}

const KINDS = new Map<number, { words: string; takes: (value: unknown) => boolean }>([
  [9, { words: "text that UTF-8 can write", takes: (value) => typeof value === "string" && value.isWellFormed() }],
  [12, { words: "bytes", takes: (value) => value instanceof Uint8Array }],
  [8, { words: "true or false", takes: (value) => typeof value === "boolean" }],
  [
    13,
    {
      words: "a whole number from 0 to 4294967295",
      takes: (value) => typeof value === "number" && value >>> 0 === value,
    },
  ],
]);
