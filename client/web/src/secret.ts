/** A type for secrets: it shows its size and nothing else. */

import type { Bytes } from "./bytes.ts";

/** Secret bytes. They leave only through `reveal`; printing, logging, JSON and structured clones show or take nothing. */
export class Secret {
  readonly #value: Bytes;

  constructor(value: Uint8Array) {
    this.#value = new Uint8Array(value);
  }

  /** The bytes. Call it where they are used, not before. */
  reveal(): Bytes {
    return this.#value;
  }

  /** How many bytes. */
  get length(): number {
    return this.#value.length;
  }

  /** What is shown instead of them. */
  toString(): string {
    return `<Secret: ${this.length} bytes>`;
  }

  /** What JSON has instead of them. */
  toJSON(): string {
    return this.toString();
  }
}
