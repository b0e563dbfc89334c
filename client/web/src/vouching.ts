/**
 * Who vouches for whom: which roots may have issued a certificate that names a role (visard_wire.vouching).
 *
 * Either one authority vouches for everybody, or each operator has its own and every role is pinned to the roots of whoever
 * bears it: then an operator's root is worth nothing for another's name. A pattern is `gateway`, `dealer`, `party/0` to
 * `party/2`, `KIND/NAME` for one caller or `KIND/*` for all of a kind.
 */

import { equal } from "./bytes.ts";
import { Certificate } from "./certificates.ts";
import { UntrustedKey } from "./errors.ts";

const SCHEME = "visard://";
const MAX_CHAIN = 4;
const MAX_CERTIFICATE_BYTES = 16 << 10;
const PATTERN = /^(gateway|dealer|party\/[0-2]|(verifier|enroller|owner|admin)\/(\*|[A-Za-z0-9._-]{1,64}))$/;
const APART = ["dealer", "party/0", "party/1", "party/2"]; // two of them together see what no one may

type Roots = readonly Certificate[];

/** The roots of each role. Certificates of other keys than ECDSA vouch for nobody here. */
export class Trust {
  readonly #everybody: Roots;
  readonly #pinned: ReadonlyMap<string, Roots> | undefined;

  private constructor(everybody: Roots, pinned?: ReadonlyMap<string, Roots>) {
    this.#everybody = everybody;
    this.#pinned = pinned;
  }

  /** One authority for everybody; several in the PEM while one takes over from another. Raises RangeError. */
  static one(pem: string): Trust {
    return new Trust(Certificate.readPem(pem));
  }

  /** The roots of each role, by pattern; raises RangeError that begins with the pattern which is wrong. */
  static async each(pem: Readonly<Record<string, string>>): Promise<Trust> {
    const pinned = new Map<string, Roots>();
    for (const [pattern, text] of Object.entries(pem)) {
      if (!PATTERN.test(pattern)) throw new RangeError(`${pattern}: not a role`);
      pinned.set(pattern, await rootsIn(pattern, text));
    }
    for (const role of ["party/0", "party/1", "party/2"]) {
      if (!pinned.has(role)) throw new RangeError(`${role}: missing: who vouches for it?`);
    }
    checkApart(pinned);
    return new Trust([], pinned);
  }

  /** The roots that may vouch for a role, as in "party/0": none for one that nobody is pinned for. */
  of(role: string): Roots {
    if (!this.#pinned) return this.#everybody;
    if (!PATTERN.test(role) || role.endsWith("*")) return [];
    return this.#pinned.get(role) ?? this.#pinned.get(`${role.split("/")[0]}/*`) ?? [];
  }

  /**
   * The URIs in a certificate that may name them, its chain in DER, its own first; raises UntrustedKey.
   *
   * Where roles are pinned the certificate names one, and a root that is pinned for that one has issued it.
   */
  async names(chain: readonly Uint8Array[], nowUnixMs: number): Promise<string[]> {
    if (!chain.length || chain.length > MAX_CHAIN || chain.some((one) => one.length > MAX_CERTIFICATE_BYTES)) {
      throw new UntrustedKey(`a chain of 1 to ${MAX_CHAIN} certificates of at most ${MAX_CERTIFICATE_BYTES} bytes`);
    }
    const certificates = read(chain);
    const [leaf, ...between] = certificates ?? [];
    const uris = leaf?.uris ?? [];
    const naming = (by: Certificate): boolean => by.mayName(uris);
    const roots = this.#vouching(uris).filter(naming);
    if (leaf?.named && (await issued(leaf, between.filter(naming), roots, nowUnixMs, 0))) return uris;
    const whom = this.#pinned ? "an authority that vouches for its role here" : "this deployment's authority";
    throw new UntrustedKey(`a certificate of ${whom}, valid now`);
  }

  #vouching(uris: readonly string[]): Roots {
    if (!this.#pinned) return this.#everybody;
    const roles = uris.filter((uri) => uri.startsWith(SCHEME)).map((uri) => uri.slice(SCHEME.length));
    return roles.length === 1 ? this.of(roles[0] as string) : [];
  }
}

function read(chain: readonly Uint8Array[]): Certificate[] | undefined {
  try {
    return chain.map((one) => Certificate.read(one));
  } catch {
    return undefined;
  }
}

/** Whether a chain leads from a certificate to one of the roots, all of it valid now; `below` authorities are passed already. */
async function issued(
  one: Certificate,
  between: Roots,
  roots: Roots,
  nowUnixMs: number,
  below: number,
): Promise<boolean> {
  if (!one.validAt(nowUnixMs)) return false;
  const able = (by: Certificate): boolean => by.validAt(nowUnixMs) && by.mayIssue(below);
  for (const root of roots.filter(able)) if (await one.issuedBy(root)) return true;
  for (const by of between.filter(able)) {
    const others = between.filter((other) => other !== by);
    if ((await one.issuedBy(by)) && (await issued(by, others, roots, nowUnixMs, below + 1))) return true;
  }
  return false;
}

async function rootsIn(pattern: string, pem: string): Promise<Roots> {
  if (pem.includes("PRIVATE KEY")) {
    throw new RangeError(
      `${pattern}: the file holds a private key, which nobody else may have: roots are certificates`,
    );
  }
  let found: Certificate[];
  try {
    found = Certificate.readPem(pem);
  } catch (error) {
    throw new RangeError(`${pattern}: no certificates in PEM`, { cause: error });
  }
  for (const root of found) {
    if (!root.mayIssue(0) || !(await root.issuedBy(root))) {
      throw new RangeError(`${pattern}: a root is an authority's own certificate, signed by itself`);
    }
  }
  return found;
}

/** Two of the parties and the dealer see what no one may; and what a gateway asks callers must have signed. */
function checkApart(pinned: ReadonlyMap<string, Roots>): void {
  const callers = [...pinned.keys()].filter((pattern) => pattern.includes("/") && !pattern.startsWith("party/"));
  const pairs = APART.flatMap((one, k) => APART.slice(k + 1).map((other) => [one, other] as const));
  for (const [one, other] of [...pairs, ...callers.map((caller) => ["gateway", caller] as const)]) {
    const shared = (pinned.get(one) ?? []).some((a) =>
      (pinned.get(other) ?? []).some((b) => equal(a.publicKey, b.publicKey)),
    );
    if (shared) throw new RangeError(`${other}: has a root in common with ${one}: whoever holds its key could be both`);
  }
}
