/** What sealed messages and signatures are bound to: all fields of a request (visard_wire.sealing.Context). */

import { type Bytes, concat, float64, uint32, uint64, utf8 } from "./bytes.ts";
import { ofParts, sized } from "./digests.ts";
import type { GalleryRule, OperatingPoint, Request } from "./gen/visard/v1/common_pb.js";

/**
 * `fields` is the digest of all fields of a request but its caller and the hashes of its shares, which cannot be known before
 * they are sealed: shares are bound to it. `digest` covers `fields` and these hashes: signatures, what the parties agree on, and
 * answers are bound to it. Each is 32 bytes.
 */
export class Context {
  readonly fields: Bytes;
  readonly digest: Bytes;

  private constructor(fields: Bytes, digest: Bytes) {
    this.fields = fields;
    this.digest = digest;
  }

  /** The context of a request; equal fields give equal digests, in every language. */
  static async of(request: Request): Promise<Context> {
    const fields = await ofParts(utf8("visard/v1/request"), parts(request));
    return new Context(fields, await ofParts(concat(utf8("visard/v1/handed in"), fields), request.shareDigests));
  }

  /** What HPKE binds the share for a party to (`info`): the request and the party. */
  info(party: number): Bytes {
    return concat(utf8("visard/v1/share"), Uint8Array.of(party), this.fields);
  }

  /** What a party's answer is bound to (associated data): the request with all that was handed in, and the party. */
  answer(party: number): Bytes {
    return concat(utf8("visard/v1/answer"), Uint8Array.of(party), this.digest);
  }
}

function parts(request: Request): Bytes[] {
  return [
    new Uint8Array(request.requestId),
    uint32(request.operation),
    utf8(request.subject),
    utf8(request.model),
    uint32(request.images),
    utf8(request.operatingPoint),
    uint64(request.expiresUnixMs),
    new Uint8Array(request.programDigest),
    concat(...request.referenceIds.map((id) => sized(utf8(id)))),
    utf8(request.newSubject),
    flags(request.replace, request.unique),
    uint32(request.ttlSeconds),
    new Uint8Array(request.metadata),
    uint32(request.party),
    uint64(request.sentUnixMs),
    utf8(request.grantee),
    concat(...request.insteadOf.map(sized)),
    ...later(request),
  ];
}

/** Fields that came later: where none is set a request has the digest that it always had. */
function later(request: Request): Bytes[] {
  const { points, rules, allowLargeGallery, nearest, gallery, review, accept, newModel, keep, deployment } = request;
  const reviewed = review || accept;
  const moved = newModel !== "" || keep || deployment !== "";
  const newest = gallery !== "" || rules.length > 0 || reviewed || moved;
  if (!(points.length || allowLargeGallery || nearest || newest)) return [];
  const first = [concat(...points.map(point)), flags(allowLargeGallery)];
  const marked = utf8(nearest ? "nearest" : "");
  if (!newest) return nearest ? [...first, marked] : first;
  const placed = [...first, marked, utf8(gallery), concat(...rules.map(rule))];
  if (!(reviewed || moved)) return placed;
  const decided = [...placed, flags(review, accept)];
  if (!moved) return decided;
  const kept = [...decided, utf8(newModel), flags(keep)];
  return deployment === "" ? kept : [...kept, utf8(deployment)];
}

/** A gallery's rule as it is hashed. */
function rule({ may, callers }: GalleryRule): Bytes {
  return concat(sized(utf8(may)), sized(utf8(callers)));
}

/** An operating point as it is hashed: its name behind its length, and two IEEE doubles. */
function point(one: OperatingPoint): Bytes {
  return concat(sized(utf8(one.name)), float64(one.distance), float64(one.falseMatchRate));
}

function flags(...values: readonly boolean[]): Bytes {
  return Uint8Array.from(values, Number);
}
