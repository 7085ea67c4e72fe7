/** The few things that this page does with the document. Text goes in as text: nothing here parses markup. */

/** The element with this id, which the page has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** A new element with these children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

/** Fill a `<dl>`. */
export function define(list: HTMLElement, entries: Iterable<readonly [string, string]>): void {
  list.replaceChildren(...[...entries].flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}
