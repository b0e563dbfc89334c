/** What a site says of itself: config.json, beside the page, as `visard web build` writes it. */

import { Trust } from "../src/vouching.ts";

/** The consent that somebody gives who enrols: its text by language, and the version that is kept with the reference. */
export interface Consent {
  readonly version: string;
  readonly text: Readonly<Record<string, string>>;
}

/** The views that a site may show. */
export const NAMES = ["enrol", "verify", "kiosk", "operator"] as const;
export type Name = (typeof NAMES)[number];

/** A site's settings. */
export interface Config {
  readonly gateway: string;
  /** Where browsers get certificates; empty where they bring their own. */
  readonly registrar: string;
  readonly trust: Trust;
  readonly model: string;
  readonly gallery: string;
  /** Whether somebody who may be enrolled under another name waits for a review. */
  readonly review: boolean;
  /** The views that the site shows, the first one where its address names none; that of the key is always there. */
  readonly views: readonly Name[];
  /** None: nobody is enrolled here. */
  readonly consent: Consent | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** The settings in a file's JSON; raises RangeError that names what is wrong. */
export async function configOf(json: unknown): Promise<Config> {
  const given = object("config.json", json);
  const { authority, roots } = given;
  return {
    gateway: text("gateway", given["gateway"]),
    registrar: text("registrar", given["registrar"] ?? ""),
    trust: roots ? await Trust.each(strings("roots", roots)) : Trust.one(text("authority", authority)),
    model: text("model", given["model"]),
    gallery: text("gallery", given["gallery"]),
    review: given["review"] === true,
    views: viewsOf(given["views"] ?? NAMES),
    consent: given["consent"] === undefined ? undefined : consentOf(object("consent", given["consent"])),
  };
}

function consentOf({ version, text: texts }: Json): Consent {
  const found = { version: text("consent.version", version), text: strings("consent.text", texts) };
  if (!Object.keys(found.text).length) throw new RangeError("consent.text: in one language at least");
  return found;
}

function viewsOf(given: unknown): Name[] {
  const found = Array.isArray(given) ? NAMES.filter((name) => given.includes(name)) : [];
  if (!found.length || found.length !== (given as unknown[]).length) {
    throw new RangeError(`views: of ${NAMES.join(", ")}, each once`);
  }
  return given as Name[];
}

function object(name: string, value: unknown): Json {
  if (typeof value !== "object" || value === null) throw new RangeError(`${name}: an object`);
  return value as Json;
}

function text(name: string, value: unknown): string {
  if (typeof value !== "string") throw new RangeError(`${name}: a text`);
  return value;
}

function strings(name: string, value: unknown): Record<string, string> {
  const entries = Object.entries(object(name, value));
  return Object.fromEntries(entries.map(([key, one]) => [key, text(`${name}.${key}`, one)]));
}
