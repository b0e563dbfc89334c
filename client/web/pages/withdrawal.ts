/** Consent is taken back: what is enrolled under a name is erased, and what waits for a review as well. */

import type { CallOptions, Client } from "../src/client.ts";
import { NotFound, RequestError } from "../src/errors.ts";

/**
 * Erase all that is kept under a name in the client's gallery; how many references. Raises NotFound where nothing was there.
 *
 * What waits goes first: were it accepted meanwhile, it would be among what is erased then.
 */
export async function withdrawn(
  client: Pick<Client, "delete" | "review">,
  subject: string,
  options: CallOptions = {},
): Promise<number> {
  let count = 0;
  const refused: unknown[] = [];
  for (const step of [() => client.review(subject, false, options), () => client.delete(subject, options)]) {
    try {
      count += await step();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      refused.push(error); // the other one may still be there
    }
  }
  const wrong = refused.find((error) => !(error instanceof NotFound));
  if (wrong ?? !count) throw wrong ?? refused[0];
  return count;
}
