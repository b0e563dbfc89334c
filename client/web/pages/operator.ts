/** The operator's view: how the three parties are, what they hold, and who waits for a review. The gateway's word, all of it. */

import type { Client } from "../src/client.ts";
import type { Gallery, ModelInfo, Status, SubjectCount } from "../src/results.ts";
import { button, h, table } from "./dom.ts";
import { Answer, clientOf, lines, type Open, page, type Site } from "./site.ts";
import type { Say } from "./texts.ts";

/** Everything that this key may look at. */
export const operator: Open = (site) => {
  const { say } = site;
  const client = clientOf(site);
  if (!client) return { root: page(say("operatorHeading"), "operator", ...lines(say, "noKey")) };
  const sections = [parties, models, galleries, subjects, reviews].map((show) => {
    const root = h("section", {});
    return { root, fill: (): Promise<void> => filled(site, root, () => show(site, client)) };
  });
  const refresh = (): void => {
    for (const one of sections) void one.fill();
  };
  refresh();
  const all = sections.map(({ root }) => root);
  return { root: page(say("operatorHeading"), "operator", button(say("refresh"), refresh), ...all) };
};

/** What a key may not see is said in its place, and the rest is shown. */
async function filled(site: Site, section: HTMLElement, show: () => Promise<Node[]>): Promise<void> {
  section.setAttribute("aria-busy", "true");
  try {
    section.replaceChildren(...(await show()));
  } catch (error) {
    const answer = new Answer(site);
    section.replaceChildren(answer.root);
    answer.failed(error);
  } finally {
    section.removeAttribute("aria-busy");
  }
}

async function parties({ say }: Site, client: Client): Promise<Node[]> {
  const status = await client.status();
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
  return [h("h2", {}, say("parties")), table(say("parties"), heads, rows), ...budgets(say, status)];
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

async function models({ say }: Site, client: Client): Promise<Node[]> {
  const pointsOf = ({ points }: ModelInfo): string => points.map((one) => one.name).join(", ");
  const rows = (await client.models()).map((one) => [one.name, pointsOf(one)]);
  return [h("h2", {}, say("models")), table(say("models"), [say("model"), say("points")], rows)];
}

async function galleries({ say }: Site, client: Client): Promise<Node[]> {
  const heads = [say("gallery"), say("references"), say("mayEnrol"), say("mayVerify"), say("maySearch")];
  const row = ({ name, references, enrol, verify, search }: Gallery): string[] => {
    return [name, String(references), ...[enrol, verify, search].map((callers) => callers.join(", ") || say("none"))];
  };
  return [h("h2", {}, say("galleries")), table(say("galleries"), heads, (await client.galleries()).map(row))];
}

async function subjects({ say }: Site, client: Client): Promise<Node[]> {
  const row = ({ subject, references }: SubjectCount): (Node | string)[] => {
    const cell = h("span", {});
    const show = async (): Promise<void> => {
      const found = (await client.references(subject)).map((one) => consentIn(one.metadata));
      cell.replaceChildren(found.map((one) => one ?? say("none")).join("; "));
    };
    const failed = (error: unknown): void => cell.replaceChildren(String((error as Error).message));
    cell.append(
      button(say("show"), () => void show().catch(failed), { "aria-label": say("showOf", { name: subject }) }),
    );
    return [subject, String(references), cell];
  };
  const heads = [say("subject"), say("references"), say("consent")];
  return [h("h2", {}, say("subjects")), table(say("subjects"), heads, (await client.subjects()).map(row))];
}

async function reviews(site: Site, client: Client): Promise<Node[]> {
  const { say } = site;
  const answer = new Answer(site);
  const row = ({ subject, references }: SubjectCount): (Node | string)[] => {
    const buttons = h("div", { class: "row" });
    const decide = (accept: boolean): void => {
      void answer.of(buttons, async () => {
        await client.review(subject, accept, { onStage: answer.stage });
        answer.tell(say("reviewed", { name: subject }), "good");
        buttons.replaceChildren();
      });
    };
    const label = (text: string): Record<string, string> => ({ "aria-label": text });
    buttons.append(
      button(say("accept"), () => decide(true), label(say("acceptOf", { name: subject }))),
      button(say("reject"), () => decide(false), label(say("rejectOf", { name: subject }))),
    );
    return [subject, String(references), buttons];
  };
  const rows = (await client.subjects({ waiting: true })).map(row);
  const list = rows.length
    ? table(say("waiting"), [say("subject"), say("references"), say("state")], rows)
    : h("p", {}, say("none"));
  return [h("h2", {}, say("waiting")), list, answer.root];
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
