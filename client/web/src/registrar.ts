/** The registrar, a service of the authority that signs a browser's key (visard.registrar): JSON over HTTP. */

import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import type { Bytes } from "./bytes.ts";
import { Certificate } from "./certificates.ts";
import { Exhausted, InternalError, InvalidRequest, PermissionDenied, Unavailable, Unreachable } from "./errors.ts";

const PATIENCE_MS = 30_000;

/** Where the registrar is, and how it is asked. */
export interface RegistrarOptions {
  /** As in "https://registrar.example:7450". */
  readonly registrar: string;
  /** Instead of the platform's. */
  readonly fetch?: typeof globalThis.fetch;
}

/** The address of one of its methods. */
export function addressOf({ registrar }: RegistrarOptions, method: "enrol" | "renew"): string {
  return new URL(`/v1/${method}`, registrar).href;
}

/** The certificates that it answers, its own first; raises one of our errors. Nothing is asked twice. */
export async function asked(
  options: RegistrarOptions,
  method: "enrol" | "renew",
  body: { request: Bytes; invitation?: string },
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<Bytes[]> {
  const fetch = options.fetch ?? globalThis.fetch;
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let response: Response;
  let answer: { chain?: string[]; error?: { code?: string; message?: string } };
  try {
    response = await fetch(addressOf(options, method), {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ ...body, request: base64Encode(body.request) }),
      credentials: "omit",
      redirect: "error",
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
    answer = (await response.json()) as typeof answer;
  } catch (error) {
    signal?.throwIfAborted();
    throw new Unreachable(`nobody answers at ${options.registrar}, or its certificate is not trusted here`, {
      cause: error,
    });
  }
  if (!response.ok) throw failure(response, answer.error?.message ?? `the registrar answers ${response.status}`);
  try {
    const chain = (answer.chain ?? []).map((one) => new Uint8Array(base64Decode(one)));
    if (!chain.length) throw new RangeError("no certificate");
    for (const one of chain) Certificate.read(one);
    return chain;
  } catch (error) {
    throw new InternalError("the registrar's answer is no certificate", { cause: error });
  }
}

function failure({ status, headers }: Response, text: string): Error {
  if (status === 429) return new Exhausted(text, Number(headers.get("retry-after") ?? 1));
  if (status === 401 || status === 403) return new PermissionDenied(text);
  if (status >= 500) return new Unavailable(text);
  return new InvalidRequest(text);
}
