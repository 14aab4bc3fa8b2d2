/** Limits and waits of the peer links; each has a counter that shows when it was reached. */
export interface LinkSettings {
  /** TCP and handshake together, both ways. */
  readonly handshakeTimeoutMs: number;
  /** Accepted sockets that have not finished the handshake. */
  readonly unauthenticatedMax: number;
  readonly unauthenticatedPerAddressMax: number;
  /** Bytes that wait for a slow reader; beyond it the link is closed. */
  readonly unsentBytesMax: number;
  /** From the first byte of a frame to its last. */
  readonly frameTimeoutMs: number;
  /** A link on which nothing was received this long is closed: heartbeats flow both ways. */
  readonly idleCloseMs: number;
  /** How long an orderly close may take to flush. */
  readonly closeFlushMs: number;
}

export const defaultLinkSettings: LinkSettings = {
  handshakeTimeoutMs: 3_000,
  unauthenticatedMax: 64,
  unauthenticatedPerAddressMax: 16,
  unsentBytesMax: 64 * 1024 * 1024,
  frameTimeoutMs: 10_000,
  idleCloseMs: 15_000,
  closeFlushMs: 1_000,
};

/** All only rise. */
export interface LinkCounters {
  accepted: number;
  dialled: number;
  handshakesRefused: number; // by either side: cell, version, identity or parameters differ
  handshakeTimeouts: number;
  unauthenticatedRejected: number; // closed at once: too many sockets without a handshake
  protocolErrors: number;
  unsentOverflows: number;
  frameTimeouts: number;
  idleCloses: number;
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
}

export function newLinkCounters(): LinkCounters {
  return {
    accepted: 0,
    dialled: 0,
    handshakesRefused: 0,
    handshakeTimeouts: 0,
    unauthenticatedRejected: 0,
    protocolErrors: 0,
    unsentOverflows: 0,
    frameTimeouts: 0,
    idleCloses: 0,
    framesIn: 0,
    framesOut: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
}
