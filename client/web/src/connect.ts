/** The gateway's services by the Connect protocol, over fetch. */

import {
  type DescMessage,
  type DescMethodClientStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { createMethodUrl, encodeEnvelopes } from "@connectrpc/connect/protocol";
import {
  endStreamFlag,
  endStreamFromJson,
  errorFromJson,
  requestHeader,
  validateResponse,
} from "@connectrpc/connect/protocol-connect";
import { VisardError } from "./errors.ts";
import { fromConnect } from "./failures.ts";
import { type Upload, UploadSchema } from "./gen/visard/v1/common_pb.js";
import type { RequestSigner } from "./statements.ts";
import type { CallOptions, Transport } from "./transport.ts";

const HEAD = 5; // flags and length of a message

/** Where the gateway is. */
export interface ConnectOptions {
  /** As in "https://gateway.example:7443". */
  readonly gateway: string;
  /** Whether the browser shows the gateway a certificate of its own; "omit" by default. */
  readonly credentials?: RequestCredentials;
  /** Who asks, proven with each request; for a browser that shows no certificate. */
  readonly signer?: Pick<RequestSigner, "proof">;
  /** Instead of the platform's. */
  readonly fetch?: typeof globalThis.fetch;
}

/**
 * Calls by fetch. An upload goes in one request as a stream that is known from its beginning: browsers cannot send one that grows,
 * and the package connect-web, which is not used here, therefore sends none. Redirects are refused.
 */
export class ConnectTransport implements Transport {
  readonly #gateway: string;
  readonly #fetch: typeof globalThis.fetch;

  constructor({ gateway, credentials = "omit", signer, fetch = globalThis.fetch }: ConnectOptions) {
    this.#gateway = gateway;
    this.#fetch = async (input, init) => {
      const headers = new Headers(init?.headers);
      if (signer) headers.set("authorization", await signer.proof(String(input)));
      return await fetch(input, { ...init, headers, credentials, redirect: "error" });
    };
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageShape<I>,
    { signal, timeoutMs }: CallOptions,
  ): Promise<MessageShape<O>> {
    return this.#told(async () => {
      const headers = requestHeader("unary", true, timeoutMs, undefined, false);
      const body = new Uint8Array(toBinary(method.input, message));
      const response = await this.#fetch(createMethodUrl(this.#gateway, method), {
        method: "POST",
        headers,
        body,
        signal,
      });
      const { isUnaryError, unaryError } = validateResponse("unary", true, response.status, response.headers);
      if (isUnaryError) throw errorFromJson(await response.json(), undefined, unaryError);
      return fromBinary(method.output, new Uint8Array(await response.arrayBuffer()));
    });
  }

  upload<O extends DescMessage>(
    method: DescMethodClientStreaming<typeof UploadSchema, O>,
    parts: Iterable<Upload>,
    { signal, timeoutMs }: CallOptions,
  ): Promise<MessageShape<O>> {
    return this.#told(async () => {
      const messages = Array.from(parts, (part) => ({ flags: 0, data: toBinary(UploadSchema, part) }));
      const body = new Uint8Array(encodeEnvelopes(...messages));
      const headers = requestHeader("client_streaming", true, timeoutMs, undefined, false);
      const response = await this.#fetch(createMethodUrl(this.#gateway, method), {
        method: "POST",
        headers,
        body,
        signal,
      });
      validateResponse("client_streaming", true, response.status, response.headers);
      return fromBinary(method.output, onlyAnswer(new Uint8Array(await response.arrayBuffer())));
    });
  }

  /** What comes of a call, its failure as one of our errors. */
  async #told<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw error instanceof VisardError ? error : fromConnect(ConnectError.from(error), this.#gateway);
    }
  }
}

/** The one message of a stream that has ended well; raises ConnectError. */
function onlyAnswer(stream: Uint8Array<ArrayBuffer>): Uint8Array {
  const answers: Uint8Array[] = [];
  for (let start = 0; start < stream.length; ) {
    const end = start + HEAD + lengthAt(stream, start);
    const data = stream.subarray(start + HEAD, end);
    if (((stream[start] as number) & endStreamFlag) !== 0) {
      const { error } = endStreamFromJson(data);
      if (error) throw error;
      const [answer] = answers;
      if (answer && answers.length === 1 && end === stream.length) return answer;
      break;
    }
    answers.push(data);
    start = end;
  }
  throw new ConnectError("the gateway's answer is cut off, or not one", Code.Internal);
}

function lengthAt(stream: Uint8Array<ArrayBuffer>, start: number): number {
  if (start + HEAD > stream.length) return Number.POSITIVE_INFINITY;
  return new DataView(stream.buffer, stream.byteOffset + start + 1, 4).getUint32(0);
}
