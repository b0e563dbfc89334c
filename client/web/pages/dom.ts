/** Elements, made without markup: whatever a text holds, it is shown as it is. */

type Child = Node | string | undefined;

/** An element with attributes (false: none, true: empty) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | boolean>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** A button that does something. */
export function button(text: string, act: () => void, attributes: Readonly<Record<string, string>> = {}): HTMLElement {
  const element = h("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", act);
  return element;
}

/** An input with its label above it. */
export function labelled(label: string, input: HTMLInputElement, help?: string): HTMLElement {
  if (!help) return h("label", { class: "field" }, h("span", {}, label), input);
  const id = `${input.name}-help`;
  input.setAttribute("aria-describedby", id);
  return h("div", { class: "field" }, h("label", {}, h("span", {}, label), input), h("p", { id, class: "help" }, help));
}

/** A box to tick, with its label behind it. */
export function tick(label: string, input: HTMLInputElement): HTMLElement {
  return h("label", { class: "tick" }, input, h("span", {}, label));
}

/** A table with its name for screen readers, which is scrolled by itself where it is wider than the page. */
export function table(name: string, heads: readonly string[], rows: readonly (readonly Child[])[]): HTMLElement {
  const head = h("tr", {}, ...heads.map((one) => h("th", { scope: "col" }, one)));
  const body = rows.map((cells) =>
    h("tr", {}, ...cells.map((cell, k) => (k ? h("td", {}, cell) : h("th", { scope: "row" }, cell)))),
  );
  return h(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": name },
    h("table", { "aria-label": name }, h("thead", {}, head), h("tbody", {}, ...body)),
  );
}
