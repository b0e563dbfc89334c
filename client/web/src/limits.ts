/** Numbers that both ends of a call must have alike (visard_wire.limits). Sizes are bytes. */

export const PARTIES = 3;
export const CHUNK_BYTES = 65_536; // of an upload
export const REQUEST_ID_BYTES = 16;
export const KEY_ID_BYTES = 8;
export const MAX_INSTEAD = 8; // earlier requests that a write stands for
