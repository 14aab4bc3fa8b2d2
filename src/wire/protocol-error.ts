import { VouchError } from "../errors.ts";

/** What every refusal of bytes from a peer becomes; never an assert, because it came from outside. */
export function protocolError(message: string, cause?: unknown): VouchError {
  return new VouchError("protocol", message, cause === undefined ? {} : { cause });
}
