/** As much of a browser's document as the pages' views touch, for tests without a browser: nothing is laid out or drawn. */

type Listener = (event: { preventDefault(): void }) => void;

/** An element: what was put into it, and who listens. */
export class Element {
  readonly tag: string;
  readonly attributes: Map<string, string> = new Map();
  readonly style: Record<string, string> = {};
  children: (Element | string)[] = [];
  parent: Element | undefined;
  value = "";
  checked = false;
  disabled = false;
  hidden = false;
  files: unknown[] = [];
  srcObject: unknown = null;
  videoWidth = 0;
  videoHeight = 0;
  play: () => Promise<void> = () => Promise.resolve();
  readonly #listeners = new Map<string, Listener[]>();

  constructor(tag: string) {
    this.tag = tag;
  }

  get name(): string {
    return this.attributes.get("name") ?? "";
  }

  get all(): Element[] {
    const own = this.children.filter((one) => one instanceof Element);
    return own.flatMap((one) => [one, ...one.all]);
  }

  get textContent(): string {
    return this.children.map((one) => (one instanceof Element ? one.textContent : one)).join("");
  }

  set textContent(text: string) {
    this.replaceChildren(text);
  }

  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }

  append(...children: (Element | string)[]): void {
    for (const one of children) if (one instanceof Element) one.parent = this;
    this.children.push(...children);
  }

  replaceChildren(...children: (Element | string)[]): void {
    this.children = [];
    this.append(...children);
  }

  contains(other: Element): boolean {
    return this.all.includes(other);
  }

  /** By tags alone, `:scope >` as well. */
  querySelectorAll(selector: string): Element[] {
    const found = selector.split(", ").flatMap((one) => {
      const [own, tag] = [one.startsWith(":scope > "), one.replace(":scope > ", "")];
      return this.all.filter((element) => element.tag === tag && (!own || element.parent === this));
    });
    return [...new Set(found)];
  }

  addEventListener(kind: string, listener: Listener): void {
    this.#listeners.set(kind, [...(this.#listeners.get(kind) ?? []), listener]);
  }

  /** What somebody does: nothing where it is disabled, itself or around it. */
  act(kind: "click" | "submit" | "change"): void {
    for (let one: Element | undefined = this; one; one = one.parent) if (one.disabled) return;
    for (const listener of this.#listeners.get(kind) ?? []) listener({ preventDefault: () => undefined });
  }

  focus(): void {
    documented.activeElement = this;
  }

  reset(): void {
    for (const one of this.all) Object.assign(one, { value: "", checked: false, files: [] });
  }

  /** The one element with a name. */
  named(name: string): Element {
    return this.all.find((one) => one.name === name) as Element;
  }

  /** The button that says so. */
  button(text: string): Element {
    return this.all.find((one) => one.tag === "button" && one.textContent === text) as Element;
  }
}

const body = new Element("body");
const documented = {
  body,
  activeElement: body,
  hidden: false,
  createElement: (tag: string): Element => new Element(tag),
};
Object.assign(globalThis, { document: documented });

/** Wait for a state, however long the machine takes. */
export async function until(state: () => boolean): Promise<void> {
  while (!state()) await new Promise((resolve) => setTimeout(resolve, 5));
}
