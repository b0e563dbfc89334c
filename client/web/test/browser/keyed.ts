/** The page of tests of a key that belongs to the browser: no camera, and no certificate but the one that the key is invited to. */

import {
  BrowserKey,
  Client,
  ConnectTransport,
  invitationIn,
  RemoteCapturer,
  readPhoto,
  SeenInDatabase,
  Trust,
} from "../../src/index.ts";
import { Database } from "../../src/vault.ts";

/** What the site says. */
interface Setup {
  readonly gateway: string;
  readonly registrar: string;
  readonly ca: string;
}

const { gateway, registrar, ca } = (await (await fetch("/setup.json")).json()) as Setup;
const worker = new Worker("/worker.js", { type: "module" });
worker.postMessage({ model: "/assets/yunet.onnx", runtime: "/assets/" });
const capturer = new RemoteCapturer(worker);
const invitation = invitationIn(location.href);
const key = invitation ? await BrowserKey.enrol(invitation, { registrar }) : await BrowserKey.open({ registrar });
history.replaceState(null, "", location.pathname);

function told(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function client(): Client {
  if (!key) throw new Error("no key");
  const transport = new ConnectTransport({ gateway, signer: key });
  return new Client({ transport, trust: Trust.one(ca), signer: key, seen: new SeenInDatabase(), capturer });
}

async function photo(file: string): ReturnType<typeof readPhoto> {
  return await readPhoto(new Blob([Uint8Array.from(atob(file), (one) => one.charCodeAt(0))]));
}

const page = {
  /** Whom the key is for, and what is left of the invitation where somebody may see it. */
  state: (): unknown => ({ role: key?.role ?? null, address: location.href }),
  /** What becomes of the same invitation with another key. */
  again: async (invited: string): Promise<string> =>
    await BrowserKey.enrol(invited, { registrar, name: "another" }).then(({ role }) => role, told),
  enrol: async (subject: string, file: string): Promise<number> =>
    (await client().enrol(subject, [await photo(file)])).references.length,
  verify: async (subject: string, file: string): Promise<boolean> =>
    (await client().verify(subject, await photo(file))).match,
  delete: (subject: string): Promise<number> => client().delete(subject),
  /** Whether the key after it is another one. */
  renew: async (): Promise<boolean> => {
    const before = key?.chain[0]?.join();
    await key?.renew();
    return key?.chain[0]?.join() !== before;
  },
  /** What becomes of attempts to read the key out of where it is kept, and all else that is kept. */
  read: async (): Promise<unknown> => {
    const kept = await new Database().get("default");
    const formats = ["pkcs8", "jwk", "raw"] as const;
    const read = formats.map(async (format) => {
      if (!kept) return "none";
      return await crypto.subtle.exportKey(format, kept.pair.privateKey).then(
        () => "read",
        (error: Error) => error.name,
      );
    });
    const stored = localStorage.length + sessionStorage.length + document.cookie.length;
    const seen = await new SeenInDatabase().raise(new Map());
    return { extractable: kept?.pair.privateKey.extractable, read: await Promise.all(read), stored, seen: seen.size };
  },
  /** Whether an older serial is seen as that, in this visit and in the next. */
  raise: async (serial: number): Promise<number> =>
    Number((await new SeenInDatabase(undefined, "test").raise(new Map([[0, BigInt(serial)]]))).get(0) ?? 0n),
  forget: async (): Promise<boolean> => {
    await key?.forget();
    return (await BrowserKey.open({ registrar })) === undefined;
  },
};

/** What a test may ask of the page. */
export type Keyed = typeof page;

Object.assign(globalThis, { page });
document.documentElement.dataset["begun"] = "";
