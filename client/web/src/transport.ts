/** The way to the gateway: one seam, so that a page can bring its own, and tests one in memory. */

import type { DescMessage, DescMethodClientStreaming, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import type { Upload, UploadSchema } from "./gen/visard/v1/common_pb.js";

/** How long a call may take, and who may end it before. */
export interface CallOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** Calls of the gateway's services; they reject with the errors of errors.ts. Nothing is called twice. */
export interface Transport {
  /** A call with one message and one answer. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>>;

  /** An upload: its parts in order, and one answer. */
  upload<O extends DescMessage>(
    method: DescMethodClientStreaming<typeof UploadSchema, O>,
    parts: Iterable<Upload>,
    options: CallOptions,
  ): Promise<MessageShape<O>>;
}
