/** Statements: what the holder of a certificate signs with its key, and what makes others believe it (visard_wire.statements). */

import { create, toBinary } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { type Bytes, concat, random, uint64, utf8 } from "./bytes.ts";
import { Certificate, fromPem } from "./certificates.ts";
import { Context } from "./context.ts";
import { toDer } from "./der.ts";
import { sized } from "./digests.ts";
import { InvalidRequest, UntrustedKey } from "./errors.ts";
import { CallerSchema, ProofSchema, type Request } from "./gen/visard/v1/common_pb.js";
import type { Trust } from "./vouching.ts";

const SIGNED = utf8("visard/v1/caller");
const PROVEN = utf8("visard/v1/proof");
const NONCE_BYTES = 16;

/** Who asks: what a client and a transport need of it. A `Signer`, or a `BrowserKey`. */
export interface RequestSigner {
  /** Say in a request who asks: after its other fields are set. */
  sign(request: Request): Promise<void>;

  /** The header Authorization of a request to this address, for once and a minute: `about`, SHA-256, is what it vouches for. */
  proof(url: string, about?: Uint8Array): Promise<string>;
}

/**
 * Who asks: signs requests with a certificate's key, so that the gateway cannot ask in a caller's name.
 *
 * The key is one of WebCrypto's for ECDSA, P-256, and need not be extractable: one that lives in IndexedDB never leaves it.
 */
export class Signer implements RequestSigner {
  readonly #chain: readonly Bytes[];
  readonly #key: CryptoKey;

  /** `chain` is DER, the signer's own certificate first; raises InvalidRequest for a key that cannot sign so. */
  constructor(chain: readonly Uint8Array[], key: CryptoKey) {
    if (key.algorithm.name !== "ECDSA" || !key.usages.includes("sign")) {
      throw new InvalidRequest("key: a private key for ECDSA, which may sign");
    }
    this.#chain = chain.map((one) => new Uint8Array(one));
    this.#key = key;
  }

  /** From PEM, as `visard certs` writes it, of a key on P-256; raises InvalidRequest. The key cannot be had from it any more. */
  static async fromPem(chain: string, key: string): Promise<Signer> {
    const [pkcs8] = fromPem(key, "PRIVATE KEY");
    if (!pkcs8) throw new InvalidRequest("key: a private key in PEM");
    try {
      const algorithm = { name: "ECDSA", namedCurve: "P-256" };
      const imported = await crypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]);
      return new Signer(
        Certificate.readPem(chain).map((one) => one.der),
        imported,
      );
    } catch {
      throw new InvalidRequest("chain and key: certificates, and a private key on P-256, in PEM"); // no cause: it may quote a key
    } finally {
      pkcs8.fill(0);
    }
  }

  async sign(request: Request): Promise<void> {
    const signature = await this.#signature(concat(SIGNED, (await Context.of(request)).digest));
    request.caller = create(CallerSchema, { chain: [...this.#chain], signature });
  }

  /** It admits a request at a server's port for HTTP (visard_wire.proofs); what is in the request is signed by `sign`. */
  async proof(url: string, about: Uint8Array = new Uint8Array(0)): Promise<string> {
    const { hostname, pathname } = new URL(url);
    const host = hostname.replace(/^\[|\]$/g, ""); // of an IPv6 address
    const [timeUnixMs, nonce] = [BigInt(Date.now()), random(NONCE_BYTES)];
    const parts = [utf8(host), utf8(pathname), uint64(timeUnixMs), nonce, about];
    const signature = await this.#signature(concat(PROVEN, ...parts.map(sized)));
    const proof = create(ProofSchema, { chain: [...this.#chain], host, timeUnixMs, nonce, signature });
    return `Visard ${base64Encode(toBinary(ProofSchema, proof), "url")}`;
  }

  async #signature(statement: Bytes): Promise<Bytes> {
    const raw = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, this.#key, statement);
    return toDer(new Uint8Array(raw));
  }
}

/** The URIs in the certificate of who signed a request; raises UntrustedKey, which says what is wrong with it. */
export async function signedBy(trust: Trust, request: Request, nowUnixMs: number): Promise<string[]> {
  const statement = concat(SIGNED, (await Context.of(request)).digest);
  const { chain, signature } = request.caller ?? create(CallerSchema);
  return signers(trust, { chain, statement, signature, about: "request" }, nowUnixMs);
}

/** What somebody has signed: `about` says of what kind it is. */
export interface Signed {
  readonly chain: readonly Uint8Array[];
  readonly statement: Uint8Array;
  readonly signature: Uint8Array;
  readonly about: string;
}

/** The URIs in the certificate of who signed a statement; raises UntrustedKey, which says what is wanted instead. */
export async function signers(trust: Trust, signed: Signed, nowUnixMs: number): Promise<string[]> {
  const names = await trust.names(signed.chain, nowUnixMs);
  const holder = Certificate.read(signed.chain[0] as Uint8Array);
  if (!holder.ecdsa) throw new UntrustedKey("a certificate with an ECDSA key");
  if (!(await holder.verifies(signed.signature, signed.statement))) {
    throw new UntrustedKey(`a signature under exactly this ${signed.about}`);
  }
  return names;
}
