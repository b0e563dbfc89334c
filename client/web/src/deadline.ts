/** Until when a call of the client may take, in all its attempts, and who may end it before. */

import { DeadlineExceeded, InvalidRequest } from "./errors.ts";

/** One call's time: `signal` is aborted at its end, or before by whoever called. */
export class Deadline {
  readonly signal: AbortSignal;
  readonly #endMs: number;

  private constructor(signal: AbortSignal, endMs: number) {
    this.signal = signal;
    this.#endMs = endMs;
  }

  /**
   * Work that is bounded in time; raises DeadlineExceeded when it is over, and the signal's reason when the caller aborts. Raises
   * InvalidRequest for a time that is none.
   */
  static async within<T>(
    seconds: number,
    given: AbortSignal | undefined,
    work: (deadline: Deadline) => Promise<T>,
  ): Promise<T> {
    if (!(seconds > 0 && seconds < Number.POSITIVE_INFINITY))
      throw new InvalidRequest("deadline: seconds, more than 0");
    given?.throwIfAborted();
    const timer = new AbortController();
    const late = (): void => timer.abort(new DeadlineExceeded(`no answer within ${seconds} s`));
    const timeout = setTimeout(late, seconds * 1000);
    const signal = given ? AbortSignal.any([given, timer.signal]) : timer.signal;
    try {
      return await abortable(work(new Deadline(signal, performance.now() + seconds * 1000)), signal);
    } finally {
      clearTimeout(timeout);
    }
  }

  /** Milliseconds that are left, at least one. */
  get leftMs(): number {
    return Math.max(this.#endMs - performance.now(), 1);
  }

  /** Wait; rejects once the time is over or the caller aborts. */
  pause(milliseconds: number): Promise<void> {
    return abortable(new Promise((resolve) => setTimeout(resolve, milliseconds)), this.signal);
  }
}

/** What comes of work, or the signal's reason once it is aborted, whichever is first. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = (): void => reject(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  work.then(resolve, (error: unknown) => reject(signal.aborted ? (signal.reason as Error) : (error as Error)));
  return promise.finally(() => signal.removeEventListener("abort", abort));
}
