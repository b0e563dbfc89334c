/** The kiosk: says who stands before the camera, to them alone. */

import type { Framing } from "../src/capture/framing.ts";
import type { Identification } from "../src/results.ts";
import { Finder } from "./finder.ts";
import { closed, photographed, STRICT } from "./people.ts";
import { Presence } from "./presence.ts";
import { Answer, clientOf, lines, type Open, page, type Site } from "./site.ts";

const SHOWN_MS = 10_000; // of an answer
const AGAIN_MS = 2_000; // after which the next photo is taken, also where one was not good enough

/** Whoever stands there is searched for, once, until they have gone; the answer is for them, and does not stay for others. */
export const kiosk: Open = (site) => {
  const { say } = site;
  const client = clientOf(site);
  if (!client) return { root: page(say("kioskHeading"), "kiosk", ...lines(say, "promise", "noKey")) };
  const answer = new Answer(site);
  const presence = new Presence();
  const left = new AbortController();
  const { signal } = left;
  let person = 0; // which one this is: an answer about somebody before is shown to nobody
  let [asked, busy, next] = [false, false, 0];
  let shown: ReturnType<typeof setTimeout> | undefined;
  const another = (): void => {
    person++;
    [asked, next] = [false, 0];
    clearTimeout(shown);
    answer.clear();
  };
  const search = async (): Promise<void> => {
    const mine = person;
    const to = (say: () => void): void => (mine === person ? say() : answer.clear());
    const onStage: typeof answer.stage = (stage) => to(() => answer.stage(stage));
    try {
      onStage("capture");
      const chip = await photographed(finder, answer, signal);
      if (!chip || mine !== person) return;
      asked = true; // also where it fails: nobody searches again and again
      const { text, known } = told(site, await client.identify(chip, { onStage, signal }));
      to(() => answer.tell(text, known ? "good" : "bad"));
    } catch (error) {
      to(() => answer.failed(error));
    } finally {
      [busy, next] = [false, Date.now() + AGAIN_MS];
      to(leave);
    }
  };
  const leave = (): void => {
    clearTimeout(shown);
    shown = setTimeout(() => (asked ? answer.tell(say("nextPerson")) : answer.clear()), SHOWN_MS);
  };
  const seen = (framing: Framing): void => {
    const now = Date.now();
    if (presence.look(framing, now) !== "same") another();
    if (framing.hints.length || asked || busy || now < next) return;
    busy = true;
    void search();
  };
  const ended = (): void => {
    presence.forget();
    another();
  };
  const switches = ["kioskStart", "kioskStop"] as const;
  const finder: Finder = new Finder(site, STRICT, { file: false, switches, seen, closed: ended });
  const root = page(say("kioskHeading"), "kiosk", ...lines(say, "promise"), finder.root, answer.root);
  return { root, close: () => closed(finder, left) };
};

function told({ say }: Site, { subject, candidates, more }: Identification): { text: string; known: boolean } {
  if (subject !== undefined) return { text: subject, known: true };
  const names = [...new Set(candidates.map((one) => one.subject))].join(", ");
  if (names) return { text: say("several", { names }), known: true };
  return { text: say(more ? "tooMany" : "stranger"), known: more };
}
