/** Chromium as it is installed, without a window, with a file before its camera; and the page of the tests in it. */

import type { Browser, BrowserContext, Page as Tab } from "playwright-core";
import { chromium } from "playwright-core";
import type { Page } from "./page.ts";

const PATIENCE_MS = 120_000; // with a machine that has other work

/** What is asked of a browser. */
export interface Visit {
  readonly program: string;
  /** A file of JPEGs, one after the other. */
  readonly camera: string;
  /** Where the page is; a path and a fragment may follow. */
  readonly site: string;
  readonly gateway: string;
  /** What it shows the gateway, in PEM. */
  readonly cert: string;
  readonly key: string;
}

/** What a page lets a test ask. */
type Methods = Record<string, (...given: never[]) => unknown>;

/** A browser with the page open, and everything that it was seen to do wrong. */
export interface Visited<P extends Methods = Page> {
  readonly browser: Browser;
  readonly context: BrowserContext;
  readonly tab: Tab;
  readonly wrongs: string[];
  ask<M extends keyof P>(method: M, ...given: Parameters<P[M]>): Promise<Awaited<ReturnType<P[M]>>>;
}

/** Open the page, with the camera allowed. `watch` sees the context before the page is there. */
export async function visit<P extends Methods = Page>(
  { program, camera, site, gateway, cert, key }: Visit,
  watch: (context: BrowserContext) => unknown = () => undefined,
): Promise<Visited<P>> {
  const browser = await chromium.launch({
    executablePath: program,
    timeout: PATIENCE_MS,
    args: [
      "--use-fake-device-for-media-stream",
      `--use-file-for-fake-video-capture=${camera}`,
      "--js-flags=--expose-gc",
    ],
  });
  const shown = { origin: gateway, cert: Buffer.from(cert), key: Buffer.from(key) };
  const context = await browser.newContext({ clientCertificates: [shown] });
  await context.grantPermissions(["camera"], { origin: new URL(site).origin });
  await watch(context);
  context.setDefaultTimeout(PATIENCE_MS);
  const tab = await context.newPage();
  const wrongs: string[] = [];
  tab.on("pageerror", (error) => wrongs.push(String(error)));
  tab.on("console", (message) => {
    if (message.type() === "error") wrongs.push(message.text());
  });
  await tab.goto(new URL(site).href);
  try {
    await tab.waitForSelector("html[data-begun]");
  } catch (error) {
    throw new Error(`the page did not begin: ${wrongs.join("; ")}`, { cause: error });
  }
  return {
    browser,
    context,
    tab,
    wrongs,
    ask: (method, ...given) =>
      tab.evaluate(
        ([name, values]) =>
          (globalThis as unknown as { page: Record<string, (...values: unknown[]) => never> }).page[name as string]?.(
            ...(values as unknown[]),
          ) as never,
        [method, given] as const,
      ),
  };
}
