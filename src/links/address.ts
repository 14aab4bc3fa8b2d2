/** Addresses of peers as `host:port`, and the guard against an open port without authentication (SEC1). */
import { isIP } from "node:net";
import { ConfigurationError, VouchError } from "../errors.ts";

export interface PeerAddress {
  readonly host: string;
  readonly port: number; // 0: any free one
}

/** `127.0.0.1:7400` or `[::1]:7400`. @throws VouchError "configuration" */
export function parseAddress(text: string): PeerAddress {
  const match = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2] ?? "";
  if (host === "" || port > 65_535) {
    throw new VouchError("configuration", `an address must look like 127.0.0.1:7400 or [::1]:7400, got "${text}"`);
  }
  return { host, port };
}

export function formatAddress(address: PeerAddress): string {
  return isIP(address.host) === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** True only for what certainly stays on this machine; other names may resolve to anything. */
export function isLoopback(host: string): boolean {
  const plain = host.toLowerCase();
  return plain === "localhost" || plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}

/** The peer port has no authentication yet, so whoever reaches it may lie to the cell. @throws ConfigurationError */
export function requireSafeBind(host: string, insecure: boolean): void {
  if (insecure || isLoopback(host)) return;
  throw new ConfigurationError([
    `peer-listen: expected a loopback address (127.0.0.1, ::1, localhost), got ${host}: the peer port is not ` +
      `authenticated, so anyone who reaches it could take part in votes; set insecure to true to accept that`,
  ]);
}
