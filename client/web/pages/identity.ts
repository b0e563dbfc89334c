/** As whom the pages ask: a key with its certificate, and the way to the gateway that proves it. */

import { Certificate } from "../src/certificates.ts";
import { ConnectTransport } from "../src/connect.ts";
import { BrowserKey } from "../src/keys.ts";
import { SeenInMemory, type SerialStore } from "../src/partykeys.ts";
import { type RequestSigner, Signer } from "../src/statements.ts";
import type { Transport } from "../src/transport.ts";
import { SeenInDatabase } from "../src/vault.ts";
import type { Config } from "./config.ts";

const HOUR_MS = 3_600_000;

/** Somebody who may ask. */
export interface Identity {
  /** As in "enroller/kiosk-7". */
  readonly name: string;
  /** When its certificate ends; undefined where nobody renews it. */
  readonly until: Date | undefined;
  readonly signer: RequestSigner;
  readonly transport: Transport;
  readonly seen: SerialStore;
  /** Erase the key. */
  forget(): Promise<void>;
  /** Renew it no more: somebody else asks now. */
  dispose(): void;
}

/** The key of an earlier visit, which is renewed beside its use where it is time; undefined where there is none, or the site has no registrar. */
export async function kept({ registrar, gateway }: Config): Promise<Identity | undefined> {
  if (!registrar) return undefined;
  const key = await BrowserKey.open({ registrar }).catch(() => undefined); // a browser may have no IndexedDB for a page
  return key && of(key, gateway);
}

/** A key of the browser's own, by invitation. */
export async function invited({ registrar, gateway }: Config, invitation: string): Promise<Identity> {
  return of(await BrowserKey.enrol(invitation, { registrar }), gateway);
}

/** A kiosk's page stays open for weeks: its key is renewed meanwhile. */
function of(key: BrowserKey, gateway: string): Identity {
  const ended = new AbortController();
  const renew = (): void => {
    if (key.due) key.renew(ended.signal).catch(() => undefined); // asked again in an hour, for days
  };
  renew();
  const renewing = setInterval(renew, HOUR_MS);
  const dispose = (): void => {
    clearInterval(renewing);
    ended.abort();
  };
  return {
    name: key.role,
    get until() {
      return new Date(key.notAfterUnixMs);
    },
    signer: key,
    transport: new ConnectTransport({ gateway, signer: key }),
    seen: new SeenInDatabase(),
    forget: () => {
      dispose();
      return key.forget();
    },
    dispose,
  };
}

/**
 * Somebody by a certificate and a key in PEM, which this tab alone knows; the gateway is shown the certificate by the browser, over
 * TLS, where the system has it. Raises InvalidRequest.
 */
export async function fromFiles({ gateway }: Config, chain: string, pem: string): Promise<Identity> {
  const signer = await Signer.fromPem(chain, pem);
  const [uri = ""] = Certificate.readPem(chain)[0]?.uris ?? [];
  return {
    name: uri.replace("visard://", ""),
    until: undefined,
    signer,
    transport: new ConnectTransport({ gateway, credentials: "include" }),
    seen: new SeenInMemory(),
    forget: () => Promise.resolve(),
    dispose: () => undefined,
  };
}
