/** The operator's view: how the three parties are, what they hold, and who waits for a review. The gateway's word, all of it. */

import type { Client } from "../src/client.ts";
import type { Gallery, ModelInfo, Status, SubjectCount } from "../src/results.ts";
import { button, h, table } from "./dom.ts";
import { Answer, clientOf, lines, type Open, page, type Site } from "./site.ts";
import { errorKey, type Key, type Say } from "./texts.ts";

/** Fills a section, below its heading. */
type Show = (site: Site, client: Client, signal: AbortSignal) => Promise<Node[]>;

/** Everything that this key may look at. */
export const operator: Open = (site) => {
  const { say, language } = site;
  const client = clientOf(site);
  if (!client) return { root: page(say("operatorHeading"), "operator", ...lines(say, "noKey")) };
  const left = new AbortController();
  const sections = Object.entries({ parties, models, galleries, subjects, waiting } satisfies Record<string, Show>).map(
    ([heading, show]) => {
      const body = h("div", {});
      const root = h("section", {}, h("h2", {}, say(heading as Key)), body);
      return { root, fill: (): Promise<void> => filled(site, body, () => show(site, client, left.signal)) };
    },
  );
  const looked = h("p", { role: "status" });
  const refresh = async (): Promise<void> => {
    looked.textContent = "";
    await Promise.all(sections.map((one) => one.fill()));
    looked.textContent = say("looked", { time: new Date().toLocaleTimeString(language) });
  };
  void refresh();
  const all = sections.map(({ root }) => root);
  const again = button(say("refresh"), () => void refresh());
  return { root: page(say("operatorHeading"), "operator", again, looked, ...all), close: () => left.abort() };
};

/** What a key may not see is said in its place, and the rest is shown. */
async function filled(site: Site, body: HTMLElement, show: () => Promise<Node[]>): Promise<void> {
  body.setAttribute("aria-busy", "true");
  try {
    body.replaceChildren(...(await show()));
  } catch (error) {
    const answer = new Answer(site);
    body.replaceChildren(answer.root);
    answer.failed(error);
  } finally {
    body.removeAttribute("aria-busy");
  }
}

async function parties({ say }: Site, client: Client, signal: AbortSignal): Promise<Node[]> {
  const status = await client.status({ signal });
  const heads = (["party", "state", "peers", "references", "running", "kits", "audits"] as const).map((key) =>
    say(key),
  );
  const rows = status.parties.map((one) => [
    String(one.party),
    one.ready ? say("ready") : say("notReady", { reason: one.reason }),
    say("connected", { count: one.peers.filter((peer) => peer.connected).length }),
    String(one.references),
    String(one.runsActive),
    one.stock.map(({ available, target }) => `${available}/${target}`).join(" ") || say("none"),
    one.audits.oneIn ? say("auditsTold", { ...one.audits }) : say("off"),
  ]);
  return [table(say("parties"), heads, rows), ...budgets(say, status)];
}

/** Of each point the strictest of the three parties', which decides. */
function budgets(say: Say, { parties: [party, ...others] }: Status): Node[] {
  if (!party) return [];
  const caption = say("budgets", { seconds: party.attemptsSeconds });
  const heads = [say("model"), say("points"), say("perSubject"), say("perGallery"), say("perSearch")];
  const rows = party.attempts.map((one) => {
    const same = [one, ...others.flatMap(({ attempts }) => attempts)].filter(
      (two) => two.model === one.model && two.operatingPoint === one.operatingPoint,
    );
    const strictest = (of: "subject" | "gallery" | "search"): string => {
      const limits = same.map((two) => two[of]).filter((limit) => limit > 0);
      return limits.length ? String(Math.min(...limits)) : say("unlimited");
    };
    return [one.model, one.operatingPoint, strictest("subject"), strictest("gallery"), strictest("search")];
  });
  return [h("h2", {}, caption), table(caption, heads, rows)];
}

async function models({ say }: Site, client: Client, signal: AbortSignal): Promise<Node[]> {
  const pointsOf = ({ points }: ModelInfo): string => points.map((one) => one.name).join(", ");
  const rows = (await client.models({ signal })).map((one) => [one.name, pointsOf(one)]);
  return [table(say("models"), [say("model"), say("points")], rows)];
}

async function galleries({ say }: Site, client: Client, signal: AbortSignal): Promise<Node[]> {
  const heads = [say("gallery"), say("references"), say("mayEnrol"), say("mayVerify"), say("maySearch")];
  const row = ({ name, references, enrol, verify, search }: Gallery): string[] => {
    return [name, String(references), ...[enrol, verify, search].map((callers) => callers.join(", ") || say("none"))];
  };
  return [table(say("galleries"), heads, (await client.galleries({ signal })).map(row))];
}

async function subjects({ say }: Site, client: Client, signal: AbortSignal): Promise<Node[]> {
  const row = ({ subject, references }: SubjectCount): (Node | string)[] => {
    const cell = h("span", { tabindex: "-1" });
    const show = async (): Promise<void> => {
      const found = (await client.references(subject, { signal })).map((one) => consentIn(one.metadata));
      instead(found.map((one) => one ?? say("none")).join("; "));
    };
    const instead = (text: string): void => {
      cell.replaceChildren(text);
      cell.focus(); // the button that had it is gone
    };
    const failed = (error: unknown): void => instead(say(errorKey(error)));
    cell.append(
      button(say("show"), () => void show().catch(failed), { "aria-label": say("showOf", { name: subject }) }),
    );
    return [subject, String(references), cell];
  };
  const heads = [say("subject"), say("references"), say("consent")];
  return [table(say("subjects"), heads, (await client.subjects({ signal })).map(row))];
}

async function waiting(site: Site, client: Client, signal: AbortSignal): Promise<Node[]> {
  const { say } = site;
  const answer = new Answer(site);
  const row = ({ subject, references }: SubjectCount): (Node | string)[] => {
    const buttons = h("div", { class: "row", tabindex: "-1" });
    const decide = (accept: boolean): void => {
      if (!accept && !confirm(say("rejectSure", { name: subject }))) return;
      void answer.of(buttons, async () => {
        await client.review(subject, accept, { onStage: answer.stage });
        answer.tell(say("reviewed", { name: subject }), "good");
        buttons.replaceChildren(say(accept ? "accepted" : "rejected"));
        buttons.focus();
      });
    };
    const label = (text: string): Record<string, string> => ({ "aria-label": text });
    buttons.append(
      button(say("accept"), () => decide(true), label(say("acceptOf", { name: subject }))),
      button(say("reject"), () => decide(false), label(say("rejectOf", { name: subject }))),
    );
    return [subject, String(references), buttons];
  };
  const rows = (await client.subjects({ waiting: true, signal })).map(row);
  const list = rows.length
    ? table(say("waiting"), [say("subject"), say("references"), say("state")], rows)
    : h("p", {}, say("none"));
  return [list, answer.root];
}

/** Version and time of a consent, as the page that enrolled has kept them; undefined of a reference of another kind. */
export function consentIn(metadata: Uint8Array): string | undefined {
  try {
    const { consent, at } = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(metadata)) as Record<
      string,
      unknown
    >;
    return typeof consent === "string" && typeof at === "string" ? `${consent}, ${at}` : undefined;
  } catch {
    return undefined;
  }
}
