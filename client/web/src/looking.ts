/** What the services tell of themselves and of what they keep, to whoever may look (visard.looking). The gateway's word. */

import { create } from "@bufbuild/protobuf";
import type { Caller } from "./calls.ts";
import type { Deadline } from "./deadline.ts";
import { FaceMatching, ModelRegistry } from "./gen/visard/v1/gateway_pb.js";
import * as received from "./received.ts";
import type { Gallery, ModelInfo, Status, StoredReference, SubjectCount } from "./results.ts";

const { getStatus, listGalleries, listReferences, listSubjects } = FaceMatching.method;
const { listModels } = ModelRegistry.method;

/** Whose model and gallery are looked at; an empty gallery is "default". */
export interface Place {
  readonly model: string;
  readonly gallery: string;
}

/** How the services are. */
export async function status(caller: Caller, deadline: Deadline): Promise<Status> {
  const ask = create(getStatus.input);
  return received.status(await caller.again(deadline, (options) => caller.transport.unary(getStatus, ask, options)));
}

/** The models that all three parties have. */
export async function models(caller: Caller, deadline: Deadline): Promise<ModelInfo[]> {
  const ask = create(listModels.input);
  const found = await caller.again(deadline, (options) => caller.transport.unary(listModels, ask, options));
  return found.models.map(received.modelInfo);
}

/** The galleries in which the caller may do something. */
export async function galleries(caller: Caller, deadline: Deadline): Promise<Gallery[]> {
  const ask = create(listGalleries.input);
  const found = await caller.again(deadline, (options) => caller.transport.unary(listGalleries, ask, options));
  return found.galleries.map(received.gallery);
}

/** Everybody who is enrolled in a place, in order of name; or who waits there for a review. */
export async function subjects(
  caller: Caller,
  deadline: Deadline,
  place: Place,
  waiting: boolean,
): Promise<SubjectCount[]> {
  const found: SubjectCount[] = [];
  for (let pageToken = ""; ; ) {
    const ask = create(listSubjects.input, { ...place, waiting, pageToken });
    const page = await caller.again(deadline, (options) => caller.transport.unary(listSubjects, ask, options));
    for (const { subject, references } of page.subjects) found.push({ subject, references });
    pageToken = page.nextPageToken;
    if (!pageToken) return found;
  }
}

/** What is kept about a subject, or waits there for a review. */
export async function references(
  caller: Caller,
  deadline: Deadline,
  place: Place & { subject: string },
  waiting: boolean,
): Promise<StoredReference[]> {
  const ask = create(listReferences.input, { ...place, waiting });
  const found = await caller.again(deadline, (options) => caller.transport.unary(listReferences, ask, options));
  return found.references.map(received.storedReference);
}
