/** Certificates: read from DER and PEM, and whether one was issued by another (RFC 5280). */

import { AsnConvert } from "@peculiar/asn1-schema";
import {
  type AlgorithmIdentifier,
  Certificate as Asn1,
  BasicConstraints,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_subjectAltName,
  KeyUsage,
  KeyUsageFlags,
  SubjectAlternativeName,
} from "@peculiar/asn1-x509";
import { type Bytes, equal } from "./bytes.ts";
import { fromDer } from "./der.ts";

const CURVES: Readonly<Record<string, { name: string; bytes: number }>> = {
  "06082a8648ce3d030107": { name: "P-256", bytes: 32 },
  "06052b81040022": { name: "P-384", bytes: 48 },
  "06052b81040023": { name: "P-521", bytes: 66 },
};
const ROLES = "visard://";
const EC_KEY = "1.2.840.10045.2.1";
const ECDSA: Readonly<Record<string, string>> = {
  "1.2.840.10045.4.3.2": "SHA-256",
  "1.2.840.10045.4.3.3": "SHA-384",
  "1.2.840.10045.4.3.4": "SHA-512",
};
// extensions that are looked at here, or say nothing about whom a certificate is for; any other one that is critical is refused
const UNDERSTOOD = new Set([id_ce_basicConstraints, id_ce_keyUsage, id_ce_subjectAltName, id_ce_extKeyUsage]);

/** A certificate; made by `Certificate.read`. */
export class Certificate {
  readonly der: Bytes;
  readonly #asn1: Asn1;

  private constructor(der: Bytes, asn1: Asn1) {
    this.der = der;
    this.#asn1 = asn1;
  }

  /** From DER; raises RangeError for what is none, or holds more than one. */
  static read(der: Uint8Array): Certificate {
    const own = new Uint8Array(der);
    let asn1: Asn1;
    try {
      asn1 = AsnConvert.parse(own, Asn1);
    } catch (error) {
      throw new RangeError("not a certificate", { cause: error });
    }
    if (!equal(new Uint8Array(AsnConvert.serialize(asn1)), own)) throw new RangeError("not a certificate in DER");
    return new Certificate(own, asn1);
  }

  /** All certificates in PEM; raises RangeError where there is none. */
  static readPem(pem: string): Certificate[] {
    const found = fromPem(pem, "CERTIFICATE").map((der) => Certificate.read(der));
    if (!found.length) throw new RangeError("no certificate in PEM");
    return found;
  }

  /** The URIs among its alternative names, in their order; none where it names nobody. */
  get uris(): string[] {
    const names = this.#extension(id_ce_subjectAltName, SubjectAlternativeName) ?? [];
    return Array.from(names).flatMap((name) => name.uniformResourceIdentifier ?? []);
  }

  /** Whether it has alternative names of any kind. */
  get named(): boolean {
    return this.#extension(id_ce_subjectAltName, SubjectAlternativeName) !== undefined;
  }

  /** Whether it is valid at a time, in milliseconds since 1970, and has no extension whose meaning would be passed over here. */
  validAt(unixMs: number): boolean {
    const { extensions } = this.#asn1.tbsCertificate;
    const known = (extensions ?? []).every(
      (one) => UNDERSTOOD.has(one.extnID) || (!one.critical && one.extnID !== id_ce_nameConstraints),
    );
    const [from, until] = this.validity;
    return known && from <= unixMs && unixMs <= until;
  }

  /** Milliseconds since 1970 of the first and the last moment at which it is valid. */
  get validity(): readonly [from: number, until: number] {
    const { notBefore, notAfter } = this.#asn1.tbsCertificate.validity;
    return [notBefore.getTime().getTime(), notAfter.getTime().getTime()];
  }

  /** Whether it, an authority's, may vouch for these names: where its own are roles, as in `visard://enroller/*`, for these alone. */
  mayName(uris: readonly string[]): boolean {
    const [allowed, wanted] = [this.uris, uris].map((all) => all.filter((uri) => uri.startsWith(ROLES))) as [
      string[],
      string[],
    ];
    const within = (uri: string): boolean =>
      allowed.some((one) => uri === one || (one.endsWith("/*") && uri.startsWith(one.slice(0, -1))));
    return !allowed.length || wanted.every(within);
  }

  /** Whether it is an authority's that may stand so many authorities above a holder's (0: directly). */
  mayIssue(below: number): boolean {
    const constraints = this.#extension(id_ce_basicConstraints, BasicConstraints);
    const critical = this.#asn1.tbsCertificate.extensions?.find(
      (one) => one.extnID === id_ce_basicConstraints,
    )?.critical;
    const usage = this.#extension(id_ce_keyUsage, KeyUsage);
    const signs = !usage || (usage.toNumber() & KeyUsageFlags.keyCertSign) !== 0;
    return Boolean(constraints?.cA && critical && signs && below <= (constraints.pathLenConstraint ?? below));
  }

  /** Whether another one's name and key are those that it was issued by. */
  async issuedBy(issuer: Certificate): Promise<boolean> {
    const { tbsCertificate: own, signatureAlgorithm: algorithm, signatureValue, tbsCertificateRaw } = this.#asn1;
    const named = equal(nameOf(own.issuer), nameOf(issuer.#asn1.tbsCertificate.subject));
    const hash = ECDSA[algorithm.algorithm];
    if (!named || !hash || own.signature.algorithm !== algorithm.algorithm || !tbsCertificateRaw) return false;
    return await issuer.verifies(new Uint8Array(signatureValue), new Uint8Array(tbsCertificateRaw), hash);
  }

  /** Whether its key has made a signature, ECDSA in DER, over data; false too for a key of another kind. */
  async verifies(signature: Uint8Array, data: Uint8Array, hash = "SHA-256"): Promise<boolean> {
    const info = this.#asn1.tbsCertificate.subjectPublicKeyInfo;
    const curve = curveOf(info.algorithm);
    if (!curve) return false;
    try {
      const algorithm = { name: "ECDSA", namedCurve: curve.name };
      const key = await crypto.subtle.importKey("spki", AsnConvert.serialize(info), algorithm, false, ["verify"]);
      const raw = fromDer(signature, curve.bytes);
      return await crypto.subtle.verify({ name: "ECDSA", hash }, key, raw, new Uint8Array(data));
    } catch {
      return false; // no point of the curve, or no signature in DER
    }
  }

  /** Whether its key is one for ECDSA that is known here. */
  get ecdsa(): boolean {
    return curveOf(this.#asn1.tbsCertificate.subjectPublicKeyInfo.algorithm) !== undefined;
  }

  /** Its public key, as two certificates of one key have it. */
  get publicKey(): Bytes {
    return new Uint8Array(AsnConvert.serialize(this.#asn1.tbsCertificate.subjectPublicKeyInfo));
  }

  #extension<T>(id: string, kind: new () => T): T | undefined {
    const found = this.#asn1.tbsCertificate.extensions?.find((one) => one.extnID === id);
    return found && AsnConvert.parse(found.extnValue, kind);
  }
}

/** What stands between the lines of PEM, of one kind. */
export function fromPem(pem: string, kind: string): Bytes[] {
  const blocks = pem.matchAll(new RegExp(`-----BEGIN ${kind}-----([A-Za-z0-9+/=\\s]+)-----END ${kind}-----`, "g"));
  return Array.from(blocks, ([, text]) =>
    Uint8Array.from(atob((text ?? "").replace(/\s/g, "")), (c) => c.charCodeAt(0)),
  );
}

function nameOf(name: Asn1["tbsCertificate"]["subject"]): Bytes {
  return new Uint8Array(AsnConvert.serialize(name));
}

function curveOf(algorithm: AlgorithmIdentifier): { name: string; bytes: number } | undefined {
  if (algorithm.algorithm !== EC_KEY || !algorithm.parameters) return undefined;
  const oid = Array.from(new Uint8Array(algorithm.parameters), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return CURVES[oid];
}
