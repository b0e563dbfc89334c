/** What every view of the pages has: the settings, the language, who asks, and the worker that looks for faces. */

import type { RemoteCapturer } from "../src/capture/remote.ts";
import { Client } from "../src/client.ts";
import type { Config } from "./config.ts";
import { h } from "./dom.ts";
import type { Identity } from "./identity.ts";
import { errorKey, type Key, type Language, type Say } from "./texts.ts";

/** A view: its element, and what ends with it. */
export interface View {
  readonly root: HTMLElement;
  readonly close?: () => void;
}

/** Opens a view. */
export type Open = (site: Site) => View;

/** The state that outlives a view. */
export interface Site {
  readonly config: Config;
  readonly capturer: RemoteCapturer;
  readonly language: Language;
  readonly say: Say;
  readonly identity: Identity | undefined;
  /** What the page was opened with, until a key is made of it. */
  readonly invitation: string | undefined;
  /** Ask as somebody else from now on; undefined: as nobody. */
  become(identity: Identity | undefined): void;
}

const clients = new WeakMap<Identity, Client>(); // one for each who asks: it keeps the parties' keys

/** A client for whoever asks; undefined where nobody does. */
export function clientOf({ config, capturer, identity }: Site): Client | undefined {
  if (!identity) return undefined;
  let client = clients.get(identity);
  if (!client) {
    const { trust, model, gallery } = config;
    const { transport, signer, seen } = identity;
    client = new Client({ transport, trust, signer, seen, capturer, model, gallery });
    clients.set(identity, client);
  }
  return client;
}

/** Where a view says what is being done, and what came of it; screen readers hear both. */
export class Answer {
  readonly root: HTMLElement = h("div", { class: "answer" });
  readonly #status = h("div", { role: "status" });
  readonly #alert = h("div", { role: "alert" });
  readonly #say: Say;

  constructor({ say }: Site) {
    this.#say = say;
    this.root.append(this.#status, this.#alert);
  }

  /** Say something; "good" and "bad" are shown as such, and said so by the text itself. */
  tell(text: string, kind: "" | "good" | "bad" = ""): void {
    this.#alert.replaceChildren();
    this.#status.replaceChildren(h("p", { class: kind, "data-kind": kind || "stage" }, text));
  }

  clear(): void {
    this.#status.replaceChildren();
    this.#alert.replaceChildren();
  }

  /** Say what went wrong: in the page's language by its kind, and in the error's own words. */
  failed(error: unknown, text: string = this.#say(errorKey(error))): void {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    const own = h("p", { lang: "en" }, `${name}: ${message}`);
    this.#status.replaceChildren();
    this.#alert.replaceChildren(
      h(
        "div",
        { class: "bad", "data-kind": "error", "data-error": name },
        text,
        h("details", {}, h("summary", {}, this.#say("details")), own),
      ),
    );
  }

  /** Work during which nobody changes a form or a row of buttons; what fails is told. Whoever had the focus there has it again. */
  async of(form: HTMLElement, work: () => Promise<void>): Promise<void> {
    const focused = document.activeElement as HTMLElement | null;
    const controls = [...form.querySelectorAll<HTMLButtonElement | HTMLFieldSetElement>("fieldset, :scope > button")];
    const begun = work(); // reads what was typed
    for (const one of controls) one.disabled = true;
    try {
      await begun;
    } catch (error) {
      this.failed(error);
    } finally {
      for (const one of controls) one.disabled = false;
      if (focused && form.contains(focused) && document.activeElement === document.body) focused.focus();
    }
  }

  /** For calls: says at which stage one is. */
  get stage(): (stage: "capture" | "seal" | "send" | "open") => void {
    return (stage) => this.tell(this.#say(stage));
  }
}

/**
 * A form with one button that does something; its inputs are checked before, by the browser. All of it is in a fieldset, so that it can
 * be disabled as a whole.
 */
export function form(
  text: string,
  act: (form: HTMLFormElement) => void,
  ...children: (Node | string)[]
): HTMLFormElement {
  const element = h(
    "form",
    { autocomplete: "off" },
    h("fieldset", {}, ...children, h("div", { class: "row" }, h("button", { class: "main" }, text))),
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    act(element);
  });
  return element;
}

/** A view's element, with its heading, which takes the focus when the view comes. */
export function page(heading: string, kind: string, ...children: readonly (Node | string)[]): HTMLElement {
  return h("div", { class: kind }, h("h1", { tabindex: "-1" }, heading), ...children);
}

/** Texts one below the other. */
export function lines(say: Say, ...keys: readonly Key[]): HTMLElement[] {
  return keys.map((key) => h("p", {}, say(key)));
}
