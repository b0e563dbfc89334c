/** The pages for people: one script, a view for each address behind the #, two languages. docs/web.md says how a site serves them. */

import { RemoteCapturer } from "../src/capture/remote.ts";
import { invitationIn } from "../src/keys.ts";
import { type Config, configOf, type Name } from "./config.ts";
import { h } from "./dom.ts";
import { type Identity, kept } from "./identity.ts";
import { key } from "./keyview.ts";
import { kiosk } from "./kiosk.ts";
import { operator } from "./operator.ts";
import { enrol, verify } from "./people.ts";
import type { Open, Site, View } from "./site.ts";
import { LANGUAGES, type Language, languageOf, sayer } from "./texts.ts";

const VIEWS: Readonly<Record<Name | "key", Open>> = { enrol, verify, kiosk, operator, key };

class Pages implements Site {
  readonly config: Config;
  readonly capturer: RemoteCapturer;
  identity: Identity | undefined;
  language: Language = languageOf(navigator.languages);
  invitation: string | undefined;
  #view: View | undefined;

  constructor(config: Config, capturer: RemoteCapturer, invitation?: string) {
    [this.config, this.capturer, this.invitation] = [config, capturer, invitation];
    addEventListener("hashchange", () => {
      this.invitation = taken() ?? this.invitation;
      this.show(true);
    });
  }

  get say(): ReturnType<typeof sayer> {
    return sayer(this.language);
  }

  become(identity: Identity | undefined): void {
    this.identity?.dispose();
    this.identity = identity;
    this.invitation = undefined;
    this.show(true);
  }

  /** The view of the address, anew; `moved`: the focus goes to its heading, as it would on another page. */
  show(moved: boolean): void {
    this.#view?.close?.();
    const name = this.#named(location.hash);
    this.#view = VIEWS[name](this);
    document.documentElement.lang = this.language;
    document.title = `${this.say(name)} · visard`;
    const main = h("main", { id: "main", tabindex: "-1" }, this.#view.root);
    document.body.replaceChildren(this.#skip(main), this.#header(name), main);
    document.documentElement.dataset["view"] = name;
    if (moved) main.querySelector("h1")?.focus();
  }

  /** The address stays: what is behind its # says which view this is. */
  #skip(main: HTMLElement): HTMLElement {
    const skip = h("a", { class: "skip", href: "#main" }, this.say("skip"));
    skip.addEventListener("click", (event) => {
      event.preventDefault();
      main.focus();
    });
    return skip;
  }

  get #names(): readonly (keyof typeof VIEWS)[] {
    return [...this.config.views, "key"];
  }

  #named(hash: string): keyof typeof VIEWS {
    const named = hash.replace(/^#\//, "");
    return this.#names.find((name) => name === named) ?? (this.#names[0] as Name);
  }

  #header(current: keyof typeof VIEWS): HTMLElement {
    const links = this.#names.map((name) =>
      h("li", {}, h("a", { href: `#/${name}`, "aria-current": name === current && "page" }, this.say(name))),
    );
    const languages = Object.entries(LANGUAGES).map(([code, name]) =>
      h("option", { value: code, lang: code, selected: code === this.language }, name),
    );
    const select = h("select", { "aria-label": this.say("language") }, ...languages);
    select.addEventListener("change", () => {
      this.language = select.value as Language;
      this.show(false);
      document.querySelector<HTMLElement>("header select")?.focus();
    });
    const nav = h("nav", { "aria-label": this.say("pages") }, h("ul", {}, ...links));
    return h("header", {}, nav, h("div", { class: "language" }, select));
  }
}

/** A worker that has YuNet; its files lie beside the page. */
function capturing(): RemoteCapturer {
  const worker = new Worker("worker.js", { type: "module" });
  worker.postMessage({ model: "assets/yunet.onnx", runtime: new URL("assets/", location.href).href });
  return new RemoteCapturer(worker);
}

/** The invitation in the page's address, which is taken out of it at once: nobody who looks or goes back finds it there. */
function taken(): string | undefined {
  const invitation = invitationIn(location.href);
  if (invitation !== undefined) history.replaceState(null, "", "#/key");
  return invitation;
}

try {
  const invitation = taken();
  const response = await fetch("config.json", { cache: "no-cache", redirect: "error" });
  if (!response.ok) throw new Error(`config.json: ${response.status}`);
  const config = await configOf(await response.json());
  const site = new Pages(config, capturing(), invitation);
  if (invitation === undefined) site.identity = await kept(config);
  site.show(false);
  document.documentElement.dataset["begun"] = "";
  performance.mark("begun");
} catch (error) {
  const language = languageOf(navigator.languages);
  const say = sayer(language);
  document.documentElement.lang = language;
  const what = error instanceof Error ? error.message : String(error);
  document.body.replaceChildren(
    h("main", {}, h("h1", {}, "visard"), h("p", { role: "alert" }, say("broken", { what }))),
  );
}
