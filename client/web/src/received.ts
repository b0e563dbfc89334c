/** From the wire to what callers receive: no message of protobuf leaves the client (visard.received). */

import type { ModelInfo as ModelMessage, PartyStatus as PartyMessage } from "./gen/visard/v1/common_pb.js";
import type {
  Gallery as GalleryMessage,
  GetStatusResponse,
  ReferenceInfo,
  Result,
} from "./gen/visard/v1/gateway_pb.js";
import type { Gallery, ModelInfo, PartyStatus, Report, Status, StoredReference } from "./results.ts";

/** A published model: on the wire a rate of 0 says that nobody knows it. */
export function modelInfo({ name, inputShape, fieldBits, chip, points }: ModelMessage): ModelInfo {
  return {
    name,
    inputShape,
    fieldBits,
    chip,
    points: points.map((point) => ({
      name: point.name,
      distance: point.distance,
      falseMatchRate: point.falseMatchRate || undefined,
    })),
  };
}

/** What a request cost: `seconds` for the client, and what the result says of gateway and parties. */
export function report(seconds: number, { reports, gatewaySeconds }: Result): Report {
  const parties = reports.map((one) => ({
    party: one.party,
    engineSeconds: one.engineSeconds,
    cpuSeconds: one.cpuSeconds,
    queueSeconds: one.queueSeconds,
    rounds: one.rounds,
    sentMb: Number(one.sentBytes) / 1e6,
    kitMb: Number(one.kitBytes) / 1e6,
    peakMemoryMb: Number(one.peakRssBytes) / 1e6,
  }));
  return { seconds, gatewaySeconds, parties };
}

/** How the services are, with all that the three parties tell of themselves. */
export function status({ ready, version, requestsAtATime, parties }: GetStatusResponse): Status {
  return { ready, version, requestsAtATime, parties: parties.map(partyStatus) };
}

function partyStatus(message: PartyMessage): PartyStatus {
  const { party, ready, reason, version, runsActive, store, attemptsSeconds, audits } = message;
  return {
    ...{ party, ready, reason, version, runsActive, store, attemptsSeconds },
    subjects: Number(message.subjects),
    references: Number(message.references),
    models: message.models.map(modelInfo),
    peers: message.peers.map(({ party, connected, version, modelsDiffer }) => {
      return { party, connected, version, modelsDiffer };
    }),
    stock: message.stock.map(({ plan, available, target, kitBytes }) => {
      return { plan, available, target, kitBytes: Number(kitBytes) };
    }),
    audits: {
      oneIn: audits?.oneIn ?? 0,
      passed: Number(audits?.passed ?? 0),
      failed: Number(audits?.failed ?? 0),
      unanswered: Number(audits?.unanswered ?? 0),
    },
    attempts: message.attempts.map(({ model, operatingPoint, subject, gallery, search }) => {
      return { model, operatingPoint, subject, gallery, search };
    }),
    workers: message.workers.map(({ reason, version, references }) => {
      return { reason, version, references: Number(references) };
    }),
  };
}

/** A gallery, as it is told of to this caller. */
export function gallery({ name, references, rules }: GalleryMessage): Gallery {
  const those = (may: string): string[] => rules.filter((rule) => rule.may === may).map((rule) => rule.callers);
  return {
    name,
    references: Number(references),
    enrol: those("enrol"),
    verify: those("verify"),
    search: those("search"),
  };
}

/** A reference of a subject: on the wire it expires at 0 when it never does. */
export function storedReference(message: ReferenceInfo): StoredReference {
  const { referenceId, version, metadata, enrolledBy, expiresUnixMs } = message;
  return {
    ...{ referenceId, version, metadata, enrolledBy },
    createdUnixMs: Number(message.createdUnixMs),
    updatedUnixMs: Number(message.updatedUnixMs),
    expiresUnixMs: Number(expiresUnixMs) || undefined,
  };
}
