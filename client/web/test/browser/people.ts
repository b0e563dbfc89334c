/**
 * `node people.ts FOLDER`: somebody uses the pages for people in Chromium, as FOLDER/ask.json says, for tests/web/test_pages.py:
 * consents and is enrolled, verified and found, looks at the operator's page, and takes the consent back. What every page said, what
 * axe-core found wrong with it, and how wide it is on a phone is written there; pictures of the pages where ask.json names a folder.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Page as Tab } from "playwright-core";
import { visit } from "./chromium.ts";

interface Ask {
  program: string;
  site: string;
  gateway: string;
  cert: string;
  key: string;
  chosen: { cert: string; key: string };
  invitation: string;
  subject: string;
  pictures?: string;
}

type Axe = { run(options: unknown): Promise<{ violations: { id: string; nodes: { target: unknown[] }[] }[] }> };
type Window = { axe: Axe; violated(what: string): void; streams: MediaStream[] };

const FOLDER = process.argv[2] ?? ".";
const ASK = JSON.parse(readFileSync(join(FOLDER, "ask.json"), "utf8")) as Ask;
const { subject } = ASK;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PHONE = { width: 360, height: 640 };
const DESK = { width: 800, height: 1000 };
const ENGLISH = "en";
const found: Record<string, unknown> = {};
const wrong: Record<string, unknown> = {};
const wide: Record<string, number> = {};
const violations: string[] = []; // of all documents, whatever is loaded anew

/** What is wrong with the page as it is, for people with a screen reader or few colours; and its width on a phone. */
async function looked(tab: Tab, name: string): Promise<void> {
  const { violations } = await tab.evaluate(() =>
    (globalThis as unknown as Window).axe.run({ resultTypes: ["violations"], preload: false }),
  );
  if (violations.length) wrong[name] = violations.map(({ id, nodes }) => [id, nodes.map((node) => node.target)]);
  await tab.setViewportSize(PHONE);
  wide[name] = await tab.evaluate(() => document.documentElement.scrollWidth);
  await tab.setViewportSize(DESK);
}

async function pictured(tab: Tab, name: string): Promise<void> {
  if (!ASK.pictures) return;
  // whoever stands there is nobody's concern: colours remain, and no face
  for (const video of await tab.locator("video").all()) {
    await video.evaluate((element) => Object.assign(element.style, { filter: "blur(48px)", clipPath: "inset(0)" }));
  }
  await tab.screenshot({ path: join(ASK.pictures, `page-${name}.png`), fullPage: true });
}

async function view(tab: Tab, name: string): Promise<void> {
  await tab.locator(`nav a[href="#/${name}"]`).click();
  await tab.waitForSelector(`html[data-view="${name}"]`);
}

/** What a form says in the end: how it is meant, and in which words. */
async function said(
  tab: Tab,
  within = "main",
): Promise<{ kind: string | null; text: string | null; error: string | null }> {
  const line = tab.locator(`${within} [data-kind]:not([data-kind=stage])`).first();
  await line.waitFor();
  const [kind, error] = [await line.getAttribute("data-kind"), await line.getAttribute("data-error")];
  return { kind, error, text: await line.textContent() };
}

/** The camera is on, and whoever stands there is told to stay. */
async function framed(tab: Tab): Promise<void> {
  await tab.locator(".finder button").first().click();
  await tab.locator(".finder .hint").getByText("Good. Hold still.").waitFor();
}

/** Whoever clicks twice, while the camera is opened, does not want it: every stream that there was ends. */
async function clickedTwice(tab: Tab): Promise<void> {
  await view(tab, "verify");
  await tab.evaluate(() => {
    const before = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const streams: MediaStream[] = [];
    (globalThis as unknown as Window).streams = streams;
    navigator.mediaDevices.getUserMedia = async (wished) => {
      const stream = await before(wished);
      streams.push(stream);
      return stream;
    };
    const button = document.querySelector<HTMLElement>(".finder button");
    button?.click();
    button?.click();
  });
  await tab.waitForFunction(() => (globalThis as unknown as Window).streams.length === 1);
  await tab.waitForFunction(() => (globalThis as unknown as Window).streams.every(({ active }) => !active));
  found["clicked twice"] = await tab.locator("video").evaluate((video) => (video as HTMLVideoElement).srcObject);
}

const VIEWS = ["enrol", "verify", "kiosk", "operator", "key"];

async function everyView(tab: Tab, how: string, views = VIEWS): Promise<void> {
  for (const name of views) {
    await view(tab, name);
    await tab.waitForFunction(() => !document.querySelector("[aria-busy]"));
    await looked(tab, `${name}, ${how}`);
  }
}

/** The link of an invitation is opened: what it says leaves the address at once, and the key stays from one visit to the next. */
async function keyInvited(tab: Tab): Promise<void> {
  await tab.goto(ASK.invitation);
  await tab.waitForSelector('html[data-view="key"]');
  found["address"] = await tab.evaluate(() => location.href);
  await tab.evaluate(AXE);
  await looked(tab, "key, invited");
  await tab.locator("main button").click();
  found["invited"] = (await said(tab)).text;
  await pictured(tab, "key");
  await tab.reload();
  await tab.waitForSelector("html[data-begun]");
  await tab.evaluate(AXE);
  found["kept"] = (await said(tab)).text;
}

async function keyForgotten(tab: Tab): Promise<void> {
  await view(tab, "key");
  await tab.locator("main button").click();
  await tab.locator("input[name=chain]").waitFor();
  await tab.reload();
  await tab.waitForSelector("html[data-begun]");
  await tab.evaluate(AXE);
}

async function keyChosen(tab: Tab): Promise<void> {
  await view(tab, "key");
  await tab.locator("input[name=chain]").setInputFiles(ASK.chosen.cert);
  await tab.locator("input[name=own]").setInputFiles(ASK.chosen.key);
  await tab.locator("main button").click();
  found["key"] = (await said(tab)).text;
}

async function enrolled(tab: Tab): Promise<void> {
  await view(tab, "enrol");
  await tab.locator("input[name=name]").fill(subject);
  await framed(tab);
  await looked(tab, "enrol, with a camera");
  await tab.locator("form").first().getByRole("button", { name: "Enrol me" }).click();
  const valid = await tab.locator("input[name=agreed]").evaluate((box) => (box as HTMLInputElement).validity.valid);
  found["without consent"] = [valid, await tab.locator("main [data-kind]").count()]; // nothing has begun
  await tab.locator("input[name=agreed]").press("Space");
  await pictured(tab, "enrol");
  await tab.locator("input[name=name]").press("Enter");
  found["enrolled"] = await said(tab);
  await tab.locator("input[name=name]:enabled").waitFor();
  found["left behind"] = [
    await tab.locator("input[name=agreed]").isChecked(),
    await tab.locator("input[name=name]").inputValue(),
    await tab.locator("video").evaluate((video) => (video as HTMLVideoElement).srcObject),
  ];
}

/** For its picture, with the camera. */
async function verifiedLive(tab: Tab): Promise<void> {
  if (!ASK.pictures) return;
  await view(tab, "verify");
  await tab.locator("input[name=name]").fill(subject);
  await framed(tab);
  await tab.locator("button.main").click();
  await said(tab);
  await pictured(tab, "verify");
}

/** With a photo that is chosen; the form is for nobody else while it works, whatever its inputs say then. */
async function verified(tab: Tab, person: string): Promise<void> {
  await view(tab, "verify");
  await tab.locator("input[name=name]").fill(subject);
  await tab.locator("input[name=photo]").setInputFiles(join(FOLDER, `${person}.mjpeg`));
  found["frozen"] = await tab.evaluate(() => {
    document.querySelector<HTMLElement>("button.main")?.click();
    const name = document.querySelector("input[name=name]") as HTMLInputElement;
    name.value = "bob";
    return [...document.querySelectorAll("form input, form button")].every((one) => one.matches(":disabled"));
  });
  found[`verified, ${person}`] = await said(tab);
}

async function identified(tab: Tab): Promise<void> {
  await view(tab, "kiosk");
  await tab.getByRole("button", { name: "Start" }).click();
  const line = tab.locator("main [data-kind=good], main [data-kind=bad]").first(); // a photo may be refused before
  await line.waitFor();
  found["identified"] = { kind: await line.getAttribute("data-kind"), text: await line.textContent() };
  await looked(tab, "kiosk, with an answer");
  await pictured(tab, "kiosk");
}

async function operated(tab: Tab): Promise<void> {
  await view(tab, "operator");
  await tab.getByRole("button", { name: `Show the consent of ${subject}`, exact: true }).click();
  const row = tab.getByRole("row").filter({ hasText: subject }).first();
  await row.getByText(/\d{4}-\d{2}-\d{2}T/).waitFor();
  found["consent"] = (await row.textContent())?.replace(subject, "");
  await tab.waitForFunction(() => !document.querySelector("[aria-busy]"));
  found["parties"] = await tab
    .locator("section")
    .first()
    .locator("table")
    .first()
    .locator("tbody tr")
    .allTextContents();
  found["headings"] = await tab.locator("main h2").allTextContents();
  await pictured(tab, "operator");
}

/** Whoever is enrolled already, under another name, waits until an operator says no. */
async function reviewed(tab: Tab): Promise<void> {
  await view(tab, "enrol");
  await tab.locator("input[name=agreed]").check();
  await tab.locator("input[name=name]").fill(`${subject}-again`);
  await tab.locator("input[name=photo]").setInputFiles(join(FOLDER, "same.mjpeg"));
  await tab.locator("button.main").first().click();
  found["waits"] = (await said(tab)).text;
}

async function rejected(tab: Tab): Promise<void> {
  await tab.getByRole("button", { name: `Reject ${subject}-again` }).click();
  found["rejected"] = await said(tab);
}

async function withdrawn(tab: Tab, name: string): Promise<unknown> {
  await view(tab, "verify"); // and back: what the view has said before is gone
  await view(tab, "enrol");
  await tab.locator("input[name=withdrawn]").fill(name);
  await tab.locator("input[name=sure]").check();
  await tab.getByRole("button", { name: "Withdraw and erase" }).click();
  return await said(tab);
}

/** Who waits takes the consent back: nothing is left to be accepted. */
async function withdrawnWaiting(tab: Tab): Promise<void> {
  await reviewed(tab);
  found["withdrawn, waiting"] = await withdrawn(tab, `${subject}-again`);
  found["withdrawn, again"] = await withdrawn(tab, `${subject}-again`);
}

const camera = join(FOLDER, "enrolled.mjpeg");
const { browser, context, tab, wrongs } = await visit({ ...ASK, camera }, async (context) => {
  await context.exposeFunction("violated", (what: string) => violations.push(what));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
      (globalThis as unknown as Window).violated(`${violatedDirective} ${blockedURI}`),
    );
  });
});
tab.on("dialog", (dialog) => void dialog.accept());
try {
  await tab.evaluate(AXE);
  found["begun"] = await tab.evaluate(() => performance.getEntriesByName("begun")[0]?.startTime);
  await everyView(tab, "without a key", ["enrol", "key"]);
  await keyInvited(tab);
  await everyView(tab, ENGLISH);
  await clickedTwice(tab);
  await enrolled(tab);
  await verifiedLive(tab);
  await verified(tab, "same");
  found["same"] = found["verified, same"];
  await verified(tab, "other");
  await identified(tab);
  await reviewed(tab);
  await operated(tab);
  await rejected(tab);
  await withdrawnWaiting(tab);
  found["withdrawn"] = await withdrawn(tab, subject);
  await verified(tab, "same");
  found["afterwards"] = found["verified, same"];
  await keyForgotten(tab);
  await keyChosen(tab);
  await tab.locator("header select").selectOption("de");
  await everyView(tab, "de", ["enrol", "operator", "key"]);
  found["german"] = [await tab.locator("html").getAttribute("lang"), await tab.locator("h1").textContent()];
  found["focus"] = await tab.evaluate(() => document.activeElement?.tagName);
  found["scripts"] = await tab.evaluate(() =>
    performance.getEntriesByType("resource").map((one) => new URL(one.name).origin),
  );
  writeFileSync(join(FOLDER, "answers.json"), JSON.stringify({ ...found, wrong, wide, violations, wrongs }));
} finally {
  await context.close();
  await browser.close();
}
