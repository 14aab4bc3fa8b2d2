/** What both coordinators check about a cell before they open anything. Pure. */
import { VouchError } from "../errors.ts";

const SESSION_MS_DEFAULT = 6_000;
const SESSION_MS_MIN = 100;

/**
 * @returns the session time to use, in milliseconds.
 * @throws VouchError "configuration" naming what was expected and what came.
 */
export function checkedSessionMs(options: { readonly cell: string; readonly sessionMs?: number }): number {
  const { cell, sessionMs = SESSION_MS_DEFAULT } = options;
  // The name becomes part of a file name or a path; "." and ".." would be another folder.
  if (!/^(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}$/.test(cell)) {
    throw new VouchError("configuration", `cell: expected 1-64 of A-Z a-z 0-9 . _ -, got ${JSON.stringify(cell)}`);
  }
  if (!(sessionMs >= SESSION_MS_MIN)) {
    throw new VouchError("configuration", `session: expected at least ${SESSION_MS_MIN} ms, got ${sessionMs}`);
  }
  return sessionMs;
}
