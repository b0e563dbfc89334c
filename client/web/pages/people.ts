/** Views for people: enrol yourself and take it back, be verified, and a kiosk that says who stands there. */

import { utf8 } from "../src/bytes.ts";
import type { Chip } from "../src/capture/faces.ts";
import type { Hint } from "../src/capture/framing.ts";
import { ENROLMENT, type Gate, PROBE } from "../src/capture/gates.ts";
import type { Client } from "../src/client.ts";
import { QualityError } from "../src/errors.ts";
import type { Identification } from "../src/results.ts";
import type { Consent } from "./config.ts";
import { h, labelled, tick } from "./dom.ts";
import { Finder } from "./finder.ts";
import { Answer, clientOf, form, lines, type Open, page, type Site } from "./site.ts";

const STRICT = PROBE.get(1e-5) as Gate; // hints go by the strictest: what it lets through passes at any point
const SHOWN_MS = 10_000; // of a kiosk's answer
const NAME = "[A-Za-z0-9._@\\-]{1,128}";

/** Somebody consents, and is enrolled; or takes the consent back, and is erased. */
export const enrol: Open = (site) => {
  const { say, config } = site;
  const client = clientOf(site);
  const finder = new Finder(site, ENROLMENT);
  const parts: Node[] = lines(say, "promise");
  if (!client) parts.push(...lines(say, "noKey"));
  else if (config.consent)
    parts.push(...consenting(site, client, config.consent, finder), ...withdrawing(site, client));
  else parts.push(...lines(say, "consentMissing"), ...withdrawing(site, client));
  return { root: page(say("enrolHeading"), "enrol", ...parts), close: () => finder.close() };
};

function consenting(site: Site, client: Client, consent: Consent, finder: Finder): Node[] {
  const { say, language, config } = site;
  const { version } = consent;
  const answer = new Answer(site);
  const name = nameInput("name");
  const told = Object.hasOwn(consent.text, language) ? language : (Object.keys(consent.text)[0] as string);
  const read = {
    class: "consent",
    tabindex: "0",
    role: "region",
    lang: told,
    "aria-label": say("consentRead", { version }),
  };
  const agreed = tick(say("consentGiven"), h("input", { type: "checkbox", name: "agreed", required: true }));
  const act = async (): Promise<void> => {
    answer.stage("capture");
    const chip = await photographed(finder, answer);
    if (!chip) return;
    const metadata = utf8(JSON.stringify({ consent: version, at: new Date().toISOString() }));
    const options = { metadata, review: config.review, onStage: answer.stage };
    const { waiting } = await client.enrol(name.value, [chip], options);
    if (waiting) answer.tell(say("waits", { name: name.value }), "bad");
    else answer.tell(say("enrolled", { name: name.value, version }), "good");
    finder.close();
  };
  return [
    form(
      say("enrolNow"),
      (element) => void answer.of(element, act),
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
  const { say } = site;
  const answer = new Answer(site);
  const name = nameInput("withdrawn");
  const sure = h("input", { type: "checkbox", name: "sure", required: true });
  const act = async (): Promise<void> => {
    const count = await client.delete(name.value, { onStage: answer.stage });
    sure.checked = false;
    answer.tell(say("erased", { name: name.value, count }), "good");
  };
  return [
    h("h2", {}, say("withdrawHeading")),
    h("p", {}, say("withdrawText")),
    form(
      say("withdrawNow"),
      (element) => void answer.of(element, act),
      labelled(say("name"), name),
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
  const name = nameInput("name");
  const act = async (): Promise<void> => {
    answer.stage("capture");
    const chip = await photographed(finder, answer);
    if (!chip) return;
    const { match } = await client.verify(name.value, chip, { onStage: answer.stage });
    answer.tell(say(match ? "match" : "noMatch", { name: name.value }), match ? "good" : "bad");
  };
  const asked = form(
    say("verifyNow"),
    (element) => void answer.of(element, act),
    labelled(say("name"), name, say("nameHelp")),
    finder.root,
  );
  const root = page(say("verifyHeading"), "verify", ...lines(say, "promise"), asked, answer.root);
  return { root, close: () => finder.close() };
};

/** Whoever stands there is searched for, once, until they have gone; the answer is for them, and does not stay for others. */
export const kiosk: Open = (site) => {
  const { say } = site;
  const client = clientOf(site);
  if (!client) return { root: page(say("kioskHeading"), "kiosk", ...lines(say, "promise", "noKey")) };
  const answer = new Answer(site);
  let [asked, busy] = [false, false];
  let shown: ReturnType<typeof setTimeout> | undefined;
  const search = async (): Promise<void> => {
    answer.stage("capture");
    const chip = await photographed(finder, answer);
    if (!chip) return;
    asked = true; // also where it fails: nobody searches again and again
    const { text, known } = told(site, await client.identify(chip, { onStage: answer.stage }));
    answer.tell(text, known ? "good" : "bad");
    clearTimeout(shown);
    shown = setTimeout(() => answer.tell(say("nextPerson")), SHOWN_MS);
  };
  const seen = (hints: readonly Hint[]): void => {
    if (hints[0] === "no face" && asked && !busy) {
      asked = false;
      clearTimeout(shown);
      answer.clear();
    }
    if (hints.length || asked || busy) return;
    busy = true;
    void answer.of(finder.root, search).finally(() => {
      busy = false;
    });
  };
  const finder: Finder = new Finder(site, STRICT, { file: false, switches: ["kioskStart", "kioskStop"], seen });
  const root = page(say("kioskHeading"), "kiosk", ...lines(say, "promise"), finder.root, answer.root);
  return { root, close: () => finder.close() };
};

function told({ say }: Site, { subject, candidates, more }: Identification): { text: string; known: boolean } {
  if (subject !== undefined) return { text: subject, known: true };
  const names = [...new Set(candidates.map((one) => one.subject))].join(", ");
  if (names) return { text: say("several", { names }), known: true };
  return { text: say(more ? "tooMany" : "stranger"), known: more };
}

/** The face in front, or undefined once it is said what to change. */
async function photographed(finder: Finder, answer: Answer): Promise<Chip | undefined> {
  try {
    return await finder.chip();
  } catch (error) {
    if (!(error instanceof QualityError)) throw error;
    answer.failed(error, error.message); // in the page's language
    return undefined;
  }
}

function nameInput(name: string): HTMLInputElement {
  return h("input", { name, required: true, pattern: NAME, autocapitalize: "off", spellcheck: "false" });
}
