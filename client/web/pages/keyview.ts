/** The view of this browser's key: whose requests these are. */

import { h, labelled } from "./dom.ts";
import { fromFiles, type Identity, invited } from "./identity.ts";
import { Answer, form, lines, type Open, page, type Site } from "./site.ts";

/** A key is made by invitation, or chosen for this tab; or forgotten. */
export const key: Open = (site) => {
  const { say, identity, invitation } = site;
  const answer = new Answer(site);
  const parts: Node[] = [];
  if (invitation !== undefined) parts.push(making(site, invitation, answer));
  else if (identity) parts.push(...used(site, identity, answer));
  else parts.push(...(site.config.registrar ? lines(say, "keyByLink") : []), ...choosing(site, answer));
  return { root: page(say("keyHeading"), "key", ...parts, answer.root) };
};

function making(site: Site, invitation: string, answer: Answer): HTMLElement {
  const { say, config } = site;
  const make = async (): Promise<void> => site.become(await invited(config, invitation));
  return form(say("keyMake"), (element) => void answer.of(element, make), ...lines(say, "keyInvited"));
}

function used(site: Site, identity: Identity, answer: Answer): Node[] {
  const { say, language } = site;
  const forget = async (): Promise<void> => {
    await identity.forget();
    site.become(undefined);
  };
  const date = identity.until?.toLocaleString(language);
  return [
    h("p", { "data-kind": "used" }, say("keyUsed", { name: identity.name })),
    ...(date ? [h("p", {}, say("keyUntil", { date }))] : []),
    form(say("keyForget"), (element) => void answer.of(element, forget)),
  ];
}

function choosing(site: Site, answer: Answer): Node[] {
  const { say, config } = site;
  const input = (name: string): HTMLInputElement =>
    h("input", { type: "file", name, required: true, accept: ".pem,.key,.crt" });
  const [chain, own] = [input("chain"), input("own")];
  const text = (from: HTMLInputElement): Promise<string> => from.files?.[0]?.text() ?? Promise.resolve("");
  const take = async (): Promise<void> => site.become(await fromFiles(config, await text(chain), await text(own)));
  return [
    h("p", {}, say("keyFiles")),
    form(
      say("keyTake"),
      (element) => void answer.of(element, take),
      labelled(say("keyCertificate"), chain),
      labelled(say("keyPrivate"), own),
    ),
  ];
}
