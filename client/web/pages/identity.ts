/** As whom the pages ask: a certificate with its key, and the way to the gateway that proves it. */

import { Certificate } from "../src/certificates.ts";
import { ConnectTransport } from "../src/connect.ts";
import { Signer } from "../src/statements.ts";
import type { Transport } from "../src/transport.ts";

/** Somebody who may ask. */
export interface Identity {
  /** As in "enroller/kiosk-7". */
  readonly name: string;
  readonly signer: Signer;
  readonly transport: Transport;
}

/**
 * Somebody by a certificate and a key in PEM, which this tab alone knows; the gateway is shown the certificate by the browser, over
 * TLS, from where the system keeps it. Raises InvalidRequest, RangeError.
 */
export async function fromFiles(gateway: string, chain: string, key: string): Promise<Identity> {
  const signer = await Signer.fromPem(chain, key);
  const [own] = Certificate.readPem(chain);
  const [uri = ""] = own?.uris ?? [];
  return {
    name: uri.replace("visard://", ""),
    signer,
    transport: new ConnectTransport({ gateway, credentials: "include" }),
  };
}
