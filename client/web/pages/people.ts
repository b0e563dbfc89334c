/** Views for people: enrol yourself and take it back, be verified. */

import { utf8 } from "../src/bytes.ts";
import type { Chip } from "../src/capture/faces.ts";
import { ENROLMENT, type Gate, PROBE } from "../src/capture/gates.ts";
import type { Client } from "../src/client.ts";
import { QualityError } from "../src/errors.ts";
import type { Consent } from "./config.ts";
import { h, labelled, tick } from "./dom.ts";
import { Finder } from "./finder.ts";
import { Answer, clientOf, form, lines, type Open, page, type Site } from "./site.ts";
import type { Say } from "./texts.ts";
import { withdrawn } from "./withdrawal.ts";

export const STRICT = PROBE.get(1e-5) as Gate; // hints go by the strictest: what it lets through passes at any point
const NAME = "[A-Za-z0-9._@\\-]{1,128}";

/** Somebody consents, and is enrolled; or takes the consent back, and is erased. */
export const enrol: Open = (site) => {
  const { say, config } = site;
  const client = clientOf(site);
  const finder = new Finder(site, ENROLMENT);
  const left = new AbortController();
  const parts: Node[] = lines(say, "promise");
  if (!client) parts.push(...lines(say, "noKey"));
  else if (config.consent)
    parts.push(...consenting(site, client, config.consent, finder, left.signal), ...withdrawing(site, client));
  else parts.push(...lines(say, "consentMissing"), ...withdrawing(site, client));
  return { root: page(say("enrolHeading"), "enrol", ...parts), close: () => closed(finder, left) };
};

function consenting(site: Site, client: Client, consent: Consent, finder: Finder, signal: AbortSignal): Node[] {
  const { say, language, config } = site;
  const { version } = consent;
  const answer = new Answer(site);
  const name = nameInput(say, "name");
  const told = Object.hasOwn(consent.text, language) ? language : (Object.keys(consent.text)[0] as string);
  const read = {
    class: "consent",
    tabindex: "0",
    role: "region",
    lang: told,
    "aria-label": say("consentRead", { version }),
  };
  const agreed = tick(say("consentGiven"), h("input", { type: "checkbox", name: "agreed", required: true }));
  const act = async (element: HTMLFormElement): Promise<void> => {
    const [subject, at] = [name.value, new Date().toISOString()]; // as they are when somebody says so
    answer.stage("capture");
    const chip = await photographed(finder, answer, signal);
    if (!chip) return;
    signal.throwIfAborted(); // later nothing ends it half way: it may wait then, for a review that nobody asked for
    const metadata = utf8(JSON.stringify({ consent: version, at }));
    const { waiting } = await client.enrol(subject, [chip], { metadata, review: config.review, onStage: answer.stage });
    if (waiting) answer.tell(say("waits", { name: subject }), "bad");
    else answer.tell(say("enrolled", { name: subject, version }), "good");
    finder.close();
    element.reset(); // nobody agrees for whoever comes next
  };
  return [
    form(
      say("enrolNow"),
      (element) => void answer.of(element, () => act(element)),
      h("h2", {}, say("consentHeading")),
      h("p", { class: "help" }, say("consentRead", { version })),
      h("div", read, consent.text[told] ?? ""),
      agreed,
      labelled(say("name"), name, say("nameHelp")),
      finder.root,
    ),
    answer.root,
  ];
}

function withdrawing(site: Site, client: Client): Node[] {
  const { say, config } = site;
  const { gallery, model } = config;
  const answer = new Answer(site);
  const name = nameInput(say, "withdrawn");
  const sure = h("input", { type: "checkbox", name: "sure", required: true });
  const act = async (element: HTMLFormElement): Promise<void> => {
    const subject = name.value;
    const count = await withdrawn(client, subject, { onStage: answer.stage });
    element.reset();
    answer.tell(say("erased", { name: subject, count }), "good");
  };
  return [
    h("h2", {}, say("withdrawHeading")),
    h("p", {}, say("withdrawText", { gallery, model })),
    form(
      say("withdrawNow"),
      (element) => void answer.of(element, () => act(element)),
      labelled(say("name"), name, say("nameHelp")),
      tick(say("withdrawSure"), sure),
    ),
    answer.root,
  ];
}

/** Whether somebody is who they say. */
export const verify: Open = (site) => {
  const { say } = site;
  const client = clientOf(site);
  const finder = new Finder(site, STRICT);
  if (!client) return { root: page(say("verifyHeading"), "verify", ...lines(say, "promise", "noKey")) };
  const answer = new Answer(site);
  const name = nameInput(say, "name");
  const left = new AbortController();
  const { signal } = left;
  const act = async (): Promise<void> => {
    const subject = name.value; // whoever was asked about
    answer.stage("capture");
    const chip = await photographed(finder, answer, signal);
    if (!chip) return;
    const { match } = await client.verify(subject, chip, { onStage: answer.stage, signal });
    answer.tell(say(match ? "match" : "noMatch", { name: subject }), match ? "good" : "bad");
  };
  const asked = form(
    say("verifyNow"),
    (element) => void answer.of(element, act),
    labelled(say("name"), name, say("nameHelp")),
    finder.root,
  );
  const root = page(say("verifyHeading"), "verify", ...lines(say, "promise"), asked, answer.root);
  return { root, close: () => closed(finder, left) };
};

/** Nothing goes on in a view that was left. */
export function closed(finder: Finder, left: AbortController): void {
  finder.close();
  left.abort();
}

/** The face in front, or undefined once it is said what to change. */
export async function photographed(finder: Finder, answer: Answer, signal: AbortSignal): Promise<Chip | undefined> {
  try {
    return await finder.chip(signal);
  } catch (error) {
    if (!(error instanceof QualityError)) throw error;
    answer.failed(error, error.message); // in the page's language
    return undefined;
  }
}

function nameInput(say: Say, name: string): HTMLInputElement {
  const title = say("nameHelp"); // which browsers add to what they say of the pattern
  return h("input", { name, required: true, pattern: NAME, title, autocapitalize: "off", spellcheck: "false" });
}
