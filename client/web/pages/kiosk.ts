/** The kiosk: says who stands before the camera, to them alone. */

import type { Chip } from "../src/capture/faces.ts";
import type { Framing } from "../src/capture/framing.ts";
import type { Stage } from "../src/client.ts";
import type { Identification } from "../src/results.ts";
import { Finder } from "./finder.ts";
import { closed, photographed, STRICT } from "./people.ts";
import { Presence } from "./presence.ts";
import { Answer, clientOf, lines, type Open, page, type Site } from "./site.ts";
import type { Say } from "./texts.ts";

const SHOWN_MS = 10_000; // of an answer
const AGAIN_MS = 2_000; // after which the next photo is taken, also where one was not good enough

interface Told {
  readonly text: string;
  readonly known: boolean;
}

/** How somebody is searched for. */
export interface Search {
  /** undefined once it is said what to change. */
  photograph(): Promise<Chip | undefined>;
  identify(chip: Chip, onStage: (stage: Stage) => void): Promise<Told>;
}

/** Whoever stands there is searched for, once, until they have gone; the answer is for them, and does not stay for others. */
export const kiosk: Open = (site) => {
  const { say } = site;
  const client = clientOf(site);
  if (!client) return { root: page(say("kioskHeading"), "kiosk", ...lines(say, "promise", "noKey")) };
  const answer = new Answer(site);
  const left = new AbortController();
  const { signal } = left;
  const watched = watching(say, answer, {
    photograph: () => photographed(finder, answer, signal),
    identify: async (chip, onStage) => told(site, await client.identify(chip, { onStage, signal })),
  });
  const switches = ["kioskStart", "kioskStop"] as const;
  const finder: Finder = new Finder(site, STRICT, { file: false, switches, ...watched });
  const root = page(say("kioskHeading"), "kiosk", ...lines(say, "promise"), finder.root, answer.root);
  return { root, close: () => closed(finder, left) };
};

/** What a kiosk does with what it sees: it searches, says the answer, and forgets whoever left. */
export function watching(
  say: Say,
  answer: Answer,
  { photograph, identify }: Search,
): { seen(framing: Framing): void; closed(): void } {
  const presence = new Presence();
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
    const to = (tell: () => void): void => (mine === person ? tell() : answer.clear());
    const onStage = (stage: Stage): void => to(() => answer.stage(stage));
    try {
      onStage("capture");
      const chip = await photograph();
      if (!chip || mine !== person) return;
      asked = true; // also where it fails: nobody searches again and again
      const { text, known } = await identify(chip, onStage);
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
  const stopped = (): void => {
    presence.forget();
    another();
  };
  return { seen, closed: stopped };
}

function told({ say }: Site, { subject, candidates, more }: Identification): Told {
  if (subject !== undefined) return { text: subject, known: true };
  const names = [...new Set(candidates.map((one) => one.subject))].join(", ");
  if (names) return { text: say("several", { names }), known: true };
  return { text: say(more ? "tooMany" : "stranger"), known: more };
}
