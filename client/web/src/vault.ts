/** What a browser keeps from one visit to the next: keys, which nobody can read there, and the serials of the parties' keys. */

import { type Bytes, equal } from "./bytes.ts";
import { VisardError } from "./errors.ts";
import type { SerialStore } from "./partykeys.ts";

const VERSION = 1;
const KEYS = "keys";
const SERIALS = "serials";

/** A key as it is kept: its certificates stand beside it, in DER, its own first; none while it waits for the registrar. */
export interface Kept {
  readonly pair: CryptoKeyPair;
  readonly chain: readonly Bytes[];
}

/** Where keys are kept, by name. */
export interface Vault {
  get(name: string): Promise<Kept | undefined>;
  /** Keep one in the place of what was there, and throw others away, in one step. */
  put(name: string, kept: Kept, without?: readonly string[]): Promise<void>;
  /** Keep one in the place of `before` in one step, if that is still there; whether it was. */
  replace(name: string, kept: Kept, before: Kept): Promise<boolean>;
  delete(names: readonly string[]): Promise<void>;
}

/** Whether two are the same key, with the same certificate. */
export function same(one: Kept | undefined, other: Kept): boolean {
  const [first, second] = [one?.chain[0], other.chain[0]];
  return Boolean(first && second && equal(first, second));
}

/** IndexedDB of the page's origin. A key goes in as it is, and comes out as unreadable as it went in. */
export class Database implements Vault {
  readonly #name: string;

  constructor(name = "visard") {
    this.#name = name;
  }

  get(name: string): Promise<Kept | undefined> {
    return this.within(KEYS, "readonly", (store) => store.get(name));
  }

  async put(name: string, kept: Kept, without: readonly string[] = []): Promise<void> {
    await this.within(KEYS, "readwrite", (store) => {
      for (const other of without) store.delete(other);
      return store.put(kept, name);
    });
  }

  async replace(name: string, kept: Kept, before: Kept): Promise<boolean> {
    let replaced = false;
    await this.within(KEYS, "readwrite", (store) => {
      const reading: IDBRequest<Kept | undefined> = store.get(name);
      reading.onsuccess = () => {
        replaced = same(reading.result, before);
        if (replaced) store.put(kept, name);
      };
      return undefined;
    });
    return replaced;
  }

  async delete(names: readonly string[]): Promise<void> {
    await this.within(KEYS, "readwrite", (store) => {
      for (const name of names) store.delete(name);
      return undefined;
    });
  }

  /** One transaction: what was asked for last in it, once all of it is on disk. Raises VisardError where the browser keeps nothing. */
  async within<T>(
    table: string,
    mode: IDBTransactionMode,
    work: (store: IDBObjectStore) => IDBRequest<T> | undefined,
  ): Promise<T> {
    let database: IDBDatabase | undefined;
    try {
      database = await this.#open();
      const transaction = database.transaction(table, mode, { durability: "strict" });
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
      const asked = work(transaction.objectStore(table));
      await promise;
      return asked?.result as T;
    } catch (error) {
      throw new VisardError("this browser keeps nothing for the page: is it a private window?", { cause: error });
    } finally {
      database?.close();
    }
  }

  #open(): Promise<IDBDatabase> {
    const { promise, resolve, reject } = Promise.withResolvers<IDBDatabase>();
    const opening = indexedDB.open(this.#name, VERSION);
    opening.onupgradeneeded = () => {
      for (const table of [KEYS, SERIALS]) opening.result.createObjectStore(table);
    };
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error ?? new Error("not opened"));
    return promise;
  }
}

/** The serials of the parties' keys, in the same place: also the page's next visit, and another tab, refuse older ones. */
export class SeenInDatabase implements SerialStore {
  readonly #database: Database;
  readonly #deployment: string;

  /** `deployment` tells one deployment's parties from another's, where a page asks several. */
  constructor(database: Database = new Database(), deployment = "default") {
    this.#database = database;
    this.#deployment = deployment;
  }

  async raise(serials: ReadonlyMap<number, bigint>): Promise<ReadonlyMap<number, bigint>> {
    let before: ReadonlyMap<number, bigint> = new Map();
    await this.#database.within(SERIALS, "readwrite", (store) => {
      const reading: IDBRequest<ReadonlyMap<number, bigint> | undefined> = store.get(this.#deployment);
      reading.onsuccess = () => {
        before = reading.result ?? before;
        const raised = new Map(before);
        for (const [party, serial] of serials) if (serial > (before.get(party) ?? 0n)) raised.set(party, serial);
        store.put(raised, this.#deployment);
      };
      return undefined;
    });
    return before;
  }
}
