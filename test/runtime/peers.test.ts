import { describe, expect, test } from "bun:test";
import type { CoreEvent } from "../../src/core/events.ts";
import { PeerEndpoint } from "../../src/links/endpoint.ts";
import { defaultLinkSettings } from "../../src/links/link-settings.ts";
import { Peers, bootIdOf } from "../../src/runtime/peers.ts";
import { identity, until } from "../links/support.ts";

class PeerNode implements AsyncDisposable {
  readonly events: CoreEvent[] = [];
  readonly warnings: string[] = [];
  readonly addresses = new Map<string, string>();
  readonly peers: Peers;
  readonly endpoint: PeerEndpoint;
  readonly incarnation: string;

  constructor(nodeId: string) {
    const self = identity(nodeId);
    this.incarnation = `${nodeId}/${self.bootId}`;
    this.peers = new Peers({
      nodeId,
      post: (event) => this.events.push(event),
      addressOf: (incarnation) => this.addresses.get(incarnation) ?? null,
      log: (level, message) => level === "warn" && this.warnings.push(message),
    });
    const settings = { ...defaultLinkSettings, handshakeTimeoutMs: 500 };
    this.endpoint = new PeerEndpoint({ listen: "127.0.0.1:0", insecure: false, settings, handlers: this.peers });
    this.endpoint.identify(self);
    this.peers.attach(this.endpoint);
  }

  has(type: CoreEvent["type"]): boolean {
    return this.events.some((event) => event.type === type);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endpoint[Symbol.asyncDispose]();
  }
}

describe("peers", () => {
  test("dial, connected, message, disconnect: as the core asks and hears", async () => {
    await using a = new PeerNode("a");
    await using b = new PeerNode("b");
    a.addresses.set(b.incarnation, b.endpoint.address);
    a.peers.dial(b.incarnation);
    await until(() => a.has("connected") && b.has("connected"));
    expect(a.events[0]).toMatchObject({ type: "connected", peer: b.incarnation, outgoing: true });
    expect(b.events[0]).toMatchObject({ type: "connected", peer: a.incarnation, outgoing: false });
    const connection = (a.events[0] as Extract<CoreEvent, { type: "connected" }>).connection;
    a.peers.send({ type: "send", connection, to: b.incarnation, message: { kind: "admitted", epoch: 4 } });
    a.peers.send({ type: "send", connection: 999, to: b.incarnation, message: { kind: "admitted", epoch: 5 } });
    await until(() => b.has("message"));
    expect(b.events[1]).toMatchObject({ type: "message", to: b.incarnation, message: { kind: "admitted", epoch: 4 } });
    a.peers.disconnect(connection, "done");
    expect(a.events.at(-1)).toEqual({ type: "disconnected", connection });
    await until(() => b.has("disconnected"));
  });

  test("R2: a message for another incarnation is handed on with whom it was meant for", async () => {
    await using a = new PeerNode("a");
    await using b = new PeerNode("b");
    a.addresses.set(b.incarnation, b.endpoint.address);
    a.peers.dial(b.incarnation);
    await until(() => a.has("connected"));
    const other = `b/${"e".repeat(32)}`;
    a.peers.send({ type: "send", connection: 1, to: other, message: { kind: "admitted", epoch: 4 } });
    await until(() => b.has("message"));
    expect(b.events.at(-1)).toMatchObject({ to: other });
  });

  test("a failed dial is told to the core each time and to people once", async () => {
    await using a = new PeerNode("a");
    const unknown = `x/${"0".repeat(32)}`;
    a.peers.dial(unknown);
    a.peers.dial(unknown);
    await until(() => a.events.length === 2);
    expect(a.events).toEqual([
      { type: "dial-failed", peer: unknown },
      { type: "dial-failed", peer: unknown },
    ]);
    expect(a.warnings.length).toBe(1);
    expect(a.warnings[0]).toContain("not registered");
    expect(bootIdOf(unknown)).toBe("0".repeat(32));
  });
});
