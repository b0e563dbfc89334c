/** The error that a failed call to the gateway means (visard.errors.from_rpc). */

import { Code, type ConnectError } from "@connectrpc/connect";
import * as errors from "./errors.ts";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

const DEVIATES = "PARTY_DEVIATES"; // the reason of an error that a party's deviation has caused
const LOCKED = "the subject is locked after too many failed verifications: an administrator can unlock it"; // visard_wire.errors
const KEY_FIELDS = ["header.shares.key_id", "envelope.key_id"];
const KINDS: ReadonlyMap<Code, new (message: string, options?: ErrorOptions) => errors.VisardError> = new Map([
  [Code.InvalidArgument, errors.InvalidRequest],
  [Code.NotFound, errors.NotFound],
  [Code.AlreadyExists, errors.AlreadyExists],
  [Code.PermissionDenied, errors.PermissionDenied],
  [Code.Unauthenticated, errors.PermissionDenied],
  [Code.FailedPrecondition, errors.FailedPrecondition],
  [Code.Aborted, errors.Undone],
  [Code.Unavailable, errors.Unavailable],
  [Code.Canceled, errors.Unavailable],
  [Code.DeadlineExceeded, errors.DeadlineExceeded],
]);

/** Of a call to the gateway at this address. */
export function fromConnect(error: ConnectError, gateway: string): errors.VisardError {
  const [text, options] = [error.rawMessage || Code[error.code], { cause: error }];
  if (error.cause instanceof TypeError) {
    return new errors.Unreachable(`nobody answers at ${gateway}, or its certificate is not trusted here`, options);
  }
  if (error.code === Code.ResourceExhausted) return new errors.Exhausted(text, retryAfter(error), options);
  if (error.code === Code.InvalidArgument && KEY_FIELDS.includes(field(error)))
    return new errors.StaleKey(text, options);
  if (error.code === Code.Aborted && reason(error) === DEVIATES) return new errors.Deviated(text, options);
  if (error.code === Code.FailedPrecondition && text === LOCKED) return new errors.SubjectLocked(text, options);
  return new (KINDS.get(error.code) ?? errors.InternalError)(text, options);
}

/** Seconds, or one where nothing is said. */
function retryAfter(error: ConnectError): number {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay ? Number(delay.seconds) + delay.nanos / 1e9 : 1;
}

/** The field that the service found wrong, if it named one. */
function field(error: ConnectError): string {
  return error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field ?? "";
}

function reason(error: ConnectError): string {
  return error.findDetails(ErrorInfoSchema)[0]?.reason ?? "";
}
