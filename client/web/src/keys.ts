/**
 * A key that belongs to a browser: made there, on P-256, and readable by nobody, this page included. An invitation gets it a
 * certificate of the registrar's; before that ends the key asks for the next one, for a key that is new as well.
 */

import { type Bytes, equal } from "./bytes.ts";
import { Certificate } from "./certificates.ts";
import { signingRequest } from "./csr.ts";
import { sha256 } from "./digests.ts";
import { FailedPrecondition, InvalidRequest, UntrustedKey } from "./errors.ts";
import type { Request } from "./gen/visard/v1/common_pb.js";
import { addressOf, asked, type RegistrarOptions } from "./registrar.ts";
import { type RequestSigner, Signer } from "./statements.ts";
import { Database, type Kept, same, type Vault } from "./vault.ts";

const SCHEME = "visard://";
const INVITATION = /^[A-Za-z0-9_-]{11}\.[A-Za-z0-9_-]{43}$/;
const FRESH = 0.5; // of a certificate's time, after which it is renewed

/** Where a key is kept, and whom it asks for its certificate. */
export interface KeyOptions extends RegistrarOptions {
  /** Which one, where a browser has several. */
  readonly name?: string;
  /** Instead of IndexedDB. */
  readonly vault?: Vault;
}

/** The invitation in the fragment of a page's address, which no server sees: `https://door.example/#invitation=...`. */
export function invitationIn(address: string | URL): string | undefined {
  const found = new URLSearchParams(new URL(address).hash.slice(1)).get("invitation") ?? "";
  return INVITATION.test(found) ? found : undefined;
}

/** A browser's key with its certificate. It signs requests, as `Signer` does, and proves its role to the gateway's port for HTTP. */
export class BrowserKey implements RequestSigner {
  readonly #options: KeyOptions;
  readonly #vault: Vault;
  #kept: Kept;
  #signer: Signer;
  #renewing: Promise<void> | undefined;

  private constructor(options: KeyOptions, vault: Vault, kept: Kept) {
    this.#options = options;
    this.#vault = vault;
    this.#kept = kept;
    this.#signer = new Signer(kept.chain, kept.pair.privateKey);
  }

  /** The key of an earlier visit; undefined where there is none, or its certificate has ended. */
  static async open(options: KeyOptions): Promise<BrowserKey | undefined> {
    const vault = options.vault ?? new Database();
    const kept = await vault.get(nameOf(options));
    const key = kept?.chain.length ? new BrowserKey(options, vault, kept) : undefined;
    return key && key.notAfterUnixMs > Date.now() ? key : undefined;
  }

  /**
   * Make a key and have it signed, by invitation; it takes the place of one of before. A call whose answer was lost can be made
   * again: until there is an answer the invitation's key is kept, and the registrar answers that one again.
   */
  static async enrol(invitation: string, options: KeyOptions, signal?: AbortSignal): Promise<BrowserKey> {
    if (!INVITATION.test(invitation)) throw new InvalidRequest("invitation: as it stands in its link");
    const vault = options.vault ?? new Database();
    const waiting = waitingFor(options);
    const pair = (await vault.get(waiting))?.pair ?? (await freshPair());
    await vault.put(waiting, { pair, chain: [] });
    const request = await signingRequest(pair);
    const chain = await asked(options, "enrol", { invitation, request }, {}, signal);
    const kept = await checked(pair, chain);
    await vault.put(nameOf(options), kept, [waiting]);
    return new BrowserKey(options, vault, kept);
  }

  /** As in "enroller/ada". */
  get role(): string {
    return this.#own.uris.find((uri) => uri.startsWith(SCHEME))?.slice(SCHEME.length) ?? "";
  }

  /** When its certificate ends. */
  get notAfterUnixMs(): number {
    return this.#own.validity[1];
  }

  /** Whether it is time to renew it: half of its certificate's time is over. */
  get due(): boolean {
    const [from, until] = this.#own.validity;
    return Date.now() > from + FRESH * (until - from);
  }

  /** The certificates, in DER, its own first. */
  get chain(): readonly Uint8Array[] {
    return this.#kept.chain;
  }

  sign(request: Request): Promise<void> {
    return this.#signer.sign(request);
  }

  proof(url: string, about?: Uint8Array): Promise<string> {
    return this.#signer.proof(url, about);
  }

  /**
   * A fresh key and certificate in the place of these, which ask for them. Until there is an answer all stays as it is. Where another
   * tab has renewed the key, its one is taken; raises FailedPrecondition where it was forgotten meanwhile, or another role's is there.
   */
  renew(signal?: AbortSignal): Promise<void> {
    this.#renewing ??= this.#renew(signal).finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  /** Erase the key. Its certificate is worth nothing without it. */
  async forget(): Promise<void> {
    await this.#vault.delete([nameOf(this.#options), waitingFor(this.#options)]);
  }

  async #renew(signal: AbortSignal | undefined): Promise<void> {
    // Another tab may have renewed it. To the registrar a key that goes on beside its successor's successor is a copy.
    const there = await this.#vault.get(nameOf(this.#options));
    if (!same(there, this.#kept)) {
      this.#take(there);
      if (!this.due) return;
    }
    const pair = await freshPair();
    const request = await signingRequest(pair);
    const authorization = await this.proof(addressOf(this.#options, "renew"), await sha256(request));
    const chain = await asked(this.#options, "renew", { request }, { authorization }, signal);
    const kept = await checked(pair, chain);
    if (await this.#vault.replace(nameOf(this.#options), kept, this.#kept)) this.#use(kept);
    else this.#take(await this.#vault.get(nameOf(this.#options))); // nothing comes back that somebody has erased
  }

  /** Another tab's key, if it is one of the same role. */
  #take(there: Kept | undefined): void {
    const role = there?.chain.length ? new BrowserKey(this.#options, this.#vault, there).role : undefined;
    if (!there || role !== this.role)
      throw new FailedPrecondition("this key was forgotten, or another one has its place");
    this.#use(there);
  }

  #use(kept: Kept): void {
    this.#kept = kept;
    this.#signer = new Signer(kept.chain, kept.pair.privateKey);
  }

  get #own(): Certificate {
    return Certificate.read(this.#kept.chain[0] as Bytes);
  }
}

function nameOf({ name = "default" }: KeyOptions): string {
  return name;
}

/** Where the key is kept that waits for its first certificate. */
function waitingFor(options: KeyOptions): string {
  return `${nameOf(options)} invited`;
}

function freshPair(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
}

/** A pair with its certificates; raises UntrustedKey where they are another key's. */
async function checked(pair: CryptoKeyPair, chain: readonly Bytes[]): Promise<Kept> {
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  if (!equal(Certificate.read(chain[0] as Bytes).publicKey, spki)) {
    throw new UntrustedKey("the registrar's certificate is for another key");
  }
  return { pair, chain };
}
