/** From the wire to what callers receive: no message of protobuf leaves the client (visard.received). */

import type { ModelInfo as ModelMessage } from "./gen/visard/v1/common_pb.js";
import type { Result } from "./gen/visard/v1/gateway_pb.js";
import type { ModelInfo, Report } from "./results.ts";

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
