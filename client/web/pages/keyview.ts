/** The view of this browser's key: whose requests these are. */

import { h, labelled } from "./dom.ts";
import { fromFiles } from "./identity.ts";
import { Answer, form, type Open, page } from "./site.ts";

/** A certificate and its key are chosen, for this tab; or forgotten. */
export const key: Open = (site) => {
  const { say, identity, config } = site;
  const answer = new Answer(site);
  if (identity) {
    const forget = form(say("keyForget"), () => site.become(undefined));
    return {
      root: page(
        say("keyHeading"),
        "key",
        h("p", { "data-kind": "used" }, say("keyUsed", { name: identity.name })),
        forget,
      ),
    };
  }
  const [chain, own] = ["chain", "own"].map((name) =>
    h("input", { type: "file", name, required: true, accept: ".pem,.key,.crt" }),
  );
  const read = (input: HTMLInputElement | undefined): Promise<string> =>
    input?.files?.[0]?.text() ?? Promise.resolve("");
  const take = async (): Promise<void> => {
    site.become(await fromFiles(config.gateway, await read(chain), await read(own)));
  };
  const chosen = form(
    say("keyTake"),
    (element) => void answer.of(element, take),
    ...[chain, own].flatMap((input, k) => (input ? [labelled(say(k ? "keyPrivate" : "keyCertificate"), input)] : [])),
  );
  return { root: page(say("keyHeading"), "key", h("p", {}, say("keyFiles")), chosen, answer.root) };
};
