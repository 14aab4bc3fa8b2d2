import { describe, expect, test } from "bun:test";
import type { Link } from "../../src/links/link.ts";
import type { LinkSettings } from "../../src/links/link-settings.ts";
import type { PeerIdentity } from "../../src/links/handshake.ts";
import { identity, Recorder } from "../links/support.ts";
import { withMachine } from "./globals.ts";
import { SimulatedNetwork } from "./network.ts";
import type { SimulatedSocket } from "./network-socket.ts";
import { Random } from "./random.ts";
import { SimulatedProcess, VirtualTime } from "./virtual-time.ts";

interface Node {
  readonly process: SimulatedProcess;
  readonly recorder: Recorder;
}

/** Real peer endpoints in simulated processes. */
class Bench {
  readonly time: VirtualTime;
  readonly network: SimulatedNetwork;
  readonly #random: Random;
  #pids = 0;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.time = new VirtualTime(this.#random.split("time"));
    this.network = new SimulatedNetwork(this.time, this.#random.split("network"));
  }

  node(name: string, settings: Partial<LinkSettings> = {}, changes: Partial<PeerIdentity> = {}): Node {
    const pid = ++this.#pids;
    const random = this.#random.split(`process ${pid}`);
    const process = new SimulatedProcess(this.time, { name, pid, host: name, random });
    const recorder = this.in(process, () => new Recorder(identity(name, changes), settings));
    return { process, recorder };
  }

  in<T>(process: SimulatedProcess, run: () => T): T {
    let result: { readonly value: T } | null = null;
    this.time.runIn(process, () => void (result = { value: run() }));
    return result!.value;
  }

  /** The outcome so far: a link, an error, or null while it is under way. */
  dial(from: Node, to: Node): { link: Link | null; error: string | null } {
    const outcome: { link: Link | null; error: string | null } = { link: null, error: null };
    this.in(from.process, () => {
      from.recorder.dial(to.recorder).then(
        (link) => (outcome.link = link),
        (error: unknown) => (outcome.error = String(error)),
      );
    });
    return outcome;
  }

  linked(from: Node, to: Node): Link {
    const outcome = this.dial(from, to);
    this.time.advance(100);
    if (outcome.link === null) throw new Error(`no link: ${outcome.error ?? "it hangs"}`);
    return outcome.link;
  }

  send(from: Node, link: Link, epoch: number): void {
    this.in(from.process, () => link.send("0".repeat(32), { kind: "admitted", epoch }));
  }
}

function simulate(run: (bench: Bench) => void, seed = 1): void {
  const bench = new Bench(seed);
  const { time, network } = bench;
  withMachine({ time, listen: network.listen, connect: network.connect, Worker: null }, () => run(bench));
}

const epochs = (node: Node): number[] => node.recorder.messages.map(({ message }) => message.epoch);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe("the simulated network, under real peer links", () => {
  test("a handshake, and messages both ways", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      expect(link.peer).toBe(`b/${b.recorder.self.bootId}`);
      for (const epoch of upTo(100)) bench.send(a, link, epoch);
      bench.send(b, b.recorder.links[0]!, 7);
      bench.time.advance(100);
      expect(epochs(b)).toEqual(upTo(100));
      expect(epochs(a)).toEqual([7]);
    }));

  test("messages of any size arrive whole, in order, through partial writes and in pieces", () => {
    for (const seed of upTo(10)) {
      simulate((bench) => {
        Object.assign(bench.network.settings, { splitChance: 0.9, partialWriteChance: 0.5, sendBufferBytes: 50_000 });
        const [a, b] = [bench.node("a"), bench.node("b")];
        const link = bench.linked(a, b);
        const pids = (epoch: number): number[] => upTo([0, 1, 300, 9_000][epoch % 4]!);
        for (const epoch of upTo(40)) {
          bench.in(a.process, () => link.send("0".repeat(32), { kind: "nudge", epoch, pids: pids(epoch) }));
          if (epoch % 3 === 0) bench.time.advance(1);
        }
        bench.time.advance(2_000);
        const expected = upTo(40).map((epoch) => ({ kind: "nudge", epoch, pids: pids(epoch) }));
        expect(b.recorder.messages.map(({ message }) => message)).toEqual(expected as never);
        expect(link.unsentBytes).toBe(0);
        expect(b.recorder.endpoint.counters.bytesIn).toBe(a.recorder.endpoint.counters.bytesOut);
      }, seed);
    }
  });

  test("a frame arrives in several reads when the seed says so", () =>
    simulate(({ time, network }) => {
      const reads: number[] = [];
      const bytes: number[] = [];
      const server = new SimulatedProcess(time, { name: "s", pid: 1, host: "s", random: new Random(1) });
      const client = new SimulatedProcess(time, { name: "c", pid: 2, host: "c", random: new Random(1) });
      let port = 0;
      time.runIn(server, () => {
        const data = (_socket: unknown, chunk: Buffer): void => {
          reads.push(chunk.length);
          bytes.push(...chunk);
        };
        port = network.listen({ hostname: "127.0.0.1", port: 0, socket: { data } }).port;
      });
      Object.assign(network.settings, { splitChance: 1, partialWriteChance: 0 });
      const open = (socket: SimulatedSocket): void => void socket.write(Uint8Array.from(upTo(100)));
      time.runIn(client, () => void network.connect({ hostname: "127.0.0.1", port, socket: { open } }));
      time.advance(100);
      expect(bytes).toEqual(upTo(100));
      expect(reads.length).toBeGreaterThan(1);
    }));

  test("a node of another cell is refused, and both ends are told", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a"), bench.node("b", {}, { cell: "other" })];
      const dial = bench.dial(a, b);
      bench.time.advance(100);
      expect(dial.error).toContain("cell");
      expect(b.recorder.refused[0]).toContain("cell");
      expect(bench.network.openSockets()).toBe(0);
    }));

  test("nobody listens: the dial is refused, after a while", () =>
    simulate((bench) => {
      const [a, b, c] = [bench.node("a"), bench.node("b"), bench.node("c")];
      b.process.kill();
      bench.in(c.process, () => void c.recorder.endpoint[Symbol.asyncDispose]());
      const dials = [bench.dial(a, b), bench.dial(a, c)];
      expect(dials.map(({ error }) => error)).toEqual([null, null]);
      bench.time.advance(20);
      for (const { error } of dials) expect(error).toContain("cannot be reached");
      expect(bench.network.openSockets()).toBe(0);
    }));

  test("a cut host does not answer: the dial hangs until its caller gives up, and no link comes of it later", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a", { handshakeTimeoutMs: 1_000 }), bench.node("b")];
      bench.network.cut("a", "b");
      expect(bench.network.isOpen("a", "b")).toBe(false);
      const dial = bench.dial(a, b);
      bench.time.advance(990);
      expect(dial.error).toBeNull();
      bench.time.advance(20);
      expect(dial.error).toContain("did not answer in 1000 ms");
      bench.network.heal("a", "b");
      bench.time.advance(5_000);
      expect(bench.network.isOpen("a", "b")).toBe(true);
      expect(bench.network.openSockets()).toBe(0);
      bench.linked(a, b);
    }));

  test("a connect that nobody answers ends by itself", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a", { handshakeTimeoutMs: 1_000_000 }), bench.node("b")];
      bench.network.cutOneWay("b", "a");
      const dial = bench.dial(a, b);
      bench.time.advance(bench.network.settings.connectTimeoutMs + 100);
      expect(dial.error).toContain("cannot be reached");
    }));

  test("what was sent into a cut arrives in order after the heal", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      bench.send(a, link, 0); // on its way when the cut comes
      bench.network.cut("a", "b");
      for (const epoch of [1, 2, 3]) {
        bench.time.advance(1_000);
        bench.send(a, link, epoch);
      }
      bench.send(b, b.recorder.links[0]!, 9);
      bench.time.advance(5_000);
      expect([epochs(a), epochs(b)]).toEqual([[], []]);
      bench.network.heal("b", "a");
      bench.send(a, link, 4);
      bench.time.advance(bench.network.settings.retransmitMsMax + 100);
      expect([epochs(a), epochs(b)]).toEqual([[9], upTo(5)]);
      expect(a.recorder.closed).toEqual([]);
    }));

  test("a cut that lasts ends the connection of who sent into it; the other end hears of it when it sends", () =>
    simulate((bench) => {
      const patient = { idleCloseMs: 1_000_000 };
      const [a, b] = [bench.node("a", patient), bench.node("b", patient)];
      const link = bench.linked(a, b);
      bench.network.cut("a", "b");
      bench.send(a, link, 1);
      bench.time.advance(bench.network.settings.unacknowledgedMs - 10);
      expect(a.recorder.closed).toEqual([]);
      bench.time.advance(20);
      expect(a.recorder.closed[0]!.reason).toContain("ETIMEDOUT");
      bench.network.healAll();
      bench.time.advance(100_000);
      expect(b.recorder.closed).toEqual([]);
      bench.send(b, b.recorder.links[0]!, 2);
      bench.time.advance(100);
      expect(b.recorder.closed[0]!.reason).toContain("ECONNRESET");
      expect([epochs(a), epochs(b)]).toEqual([[], []]);
      expect(bench.network.openSockets()).toBe(0);
    }));

  test("one way cut: the other way still brings bytes, until its sender misses the acknowledgements", () =>
    simulate((bench) => {
      const patient = { idleCloseMs: 1_000_000 };
      const [a, b] = [bench.node("a", patient), bench.node("b", patient)];
      const link = bench.linked(a, b);
      bench.network.cutOneWay("a", "b");
      bench.send(a, link, 1);
      bench.send(b, b.recorder.links[0]!, 2);
      bench.time.advance(100);
      expect([epochs(a), epochs(b)]).toEqual([[2], []]);
      bench.time.advance(bench.network.settings.unacknowledgedMs);
      expect(a.recorder.closed[0]!.reason).toContain("ETIMEDOUT");
      expect(b.recorder.closed[0]!.reason).toContain("ETIMEDOUT");
    }));

  test("a one-way cut that is healed leaves the connection as it was", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      bench.network.cutOneWay("a", "b");
      for (const epoch of upTo(5)) bench.send(b, b.recorder.links[0]!, epoch);
      bench.send(a, link, 1);
      bench.time.advance(1_000);
      bench.network.heal("a", "b");
      bench.time.advance(14_000);
      expect([epochs(a), epochs(b)]).toEqual([upTo(5), [1]]);
      bench.network.settings.unacknowledgedMs = 100;
      bench.send(b, b.recorder.links[0]!, 6);
      bench.time.advance(500);
      expect(a.recorder.closed.length + b.recorder.closed.length).toBe(0);
    }));

  test("the links of a killed process end at the other side, and its next start is another one", () => {
    for (const seed of upTo(8)) {
      simulate((bench) => {
        const [a, b] = [bench.node("a"), bench.node("b")];
        bench.linked(a, b);
        bench.linked(b, a); // both dialled: two connections
        b.process.kill();
        expect(a.recorder.closed).toEqual([]);
        bench.time.advance(10);
        expect(a.recorder.closed.length).toBe(2);
        expect(b.recorder.closed).toEqual([]); // nothing of it runs any more
        expect(bench.network.openSockets()).toBe(0);
        const again = bench.node("b");
        expect(again.recorder.endpoint.address).not.toBe(b.recorder.endpoint.address);
        bench.linked(a, again);
      }, seed);
    }
  });

  test("half open: nobody tells the other end, which closes when nothing came for too long", () => {
    for (const silenceFirst of [true, false]) {
      simulate((bench) => {
        const [a, b] = [bench.node("a", { idleCloseMs: 5_000 }), bench.node("b")];
        const link = bench.linked(a, b);
        if (silenceFirst) bench.network.halfOpen("b");
        b.process.kill();
        if (!silenceFirst) bench.network.halfOpen("b");
        for (const epoch of upTo(40)) {
          bench.send(a, link, epoch);
          bench.time.advance(100);
        }
        expect(a.recorder.closed).toEqual([]);
        bench.time.advance(2_000);
        expect(a.recorder.closed[0]!.reason).toContain("nothing was received for 5000 ms");
        expect(bench.network.openSockets()).toBe(0);
      });
    }
  });

  test("half open: without a limit of the program, the sender's kernel gives up", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a", { idleCloseMs: 1_000_000 }), bench.node("b")];
      const link = bench.linked(a, b);
      bench.network.halfOpen("b");
      b.process.kill();
      bench.send(a, link, 1);
      bench.time.advance(bench.network.settings.unacknowledgedMs + 10);
      expect(a.recorder.closed[0]!.reason).toContain("ETIMEDOUT");
    }));

  test("a stopped process reads nothing: its peer's writes are refused, and all arrives when it goes on", () =>
    simulate((bench) => {
      Object.assign(bench.network.settings, { sendBufferBytes: 20_000, receiveBufferBytes: 20_000 });
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      b.process.stop();
      const pids = upTo(1_000);
      for (const epoch of upTo(100)) {
        bench.in(a.process, () => link.send("0".repeat(32), { kind: "nudge", epoch, pids }));
        bench.time.advance(10);
      }
      expect(link.unsentBytes).toBeGreaterThan(150_000);
      expect(a.recorder.endpoint.counters.bytesOut).toBeLessThan(41_000);
      expect(b.recorder.messages).toEqual([]);
      b.process.continue();
      bench.time.advance(1_000);
      expect(epochs(b)).toEqual(upTo(100));
      expect(link.unsentBytes).toBe(0);
    }));

  test("a stopped process's kernel still accepts, so the dial ends by its own limit", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a", { handshakeTimeoutMs: 500 }), bench.node("b")];
      b.process.stop();
      const dial = bench.dial(a, b);
      bench.time.advance(400);
      expect(a.recorder.endpoint.counters.dialled).toBe(1);
      bench.time.advance(400);
      expect(dial.error).toContain("did not answer");
      b.process.continue();
      bench.time.advance(10);
      expect(b.recorder.refused.length + b.recorder.closed.length).toBe(1);
      expect(bench.network.openSockets()).toBe(0);
    }));

  test("a clogged link lets through what it can, and after the heal all of it", () =>
    simulate((bench) => {
      Object.assign(bench.network.settings, { sendBufferBytes: 10_000, receiveBufferBytes: 10_000 });
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      bench.network.clog("a", "b", 1);
      const pids = upTo(500);
      for (const epoch of upTo(100)) {
        bench.in(a.process, () => link.send("0".repeat(32), { kind: "nudge", epoch, pids }));
      }
      bench.time.advance(10_000);
      const before = b.recorder.endpoint.counters.bytesIn;
      expect(before).toBeGreaterThan(9_000);
      expect(before).toBeLessThan(11_000);
      expect(link.unsentBytes).toBeGreaterThan(50_000);
      bench.network.healAll();
      bench.time.advance(500);
      expect(epochs(b)).toEqual(upTo(100));
    }));

  test("a slow link is slow", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      bench.network.slow("b", "a", 300);
      bench.send(a, link, 1);
      bench.time.advance(299);
      expect(epochs(b)).toEqual([]);
      bench.time.advance(20);
      expect(epochs(b)).toEqual([1]);
    }));

  test("a changed byte never becomes another message: the connection ends with a protocol error", () => {
    for (const seed of upTo(60)) {
      simulate((bench) => {
        const [a, b] = [bench.node("a"), bench.node("b")];
        const link = bench.linked(a, b);
        bench.send(a, link, 0);
        bench.time.advance(50);
        bench.network.corruptNext("a", "b");
        for (const epoch of upTo(200)) {
          bench.send(a, link, epoch + 1);
          bench.time.advance(100);
        }
        expect(epochs(b)).toEqual([0]);
        const { protocolErrors, frameTimeouts } = b.recorder.endpoint.counters;
        expect(protocolErrors + frameTimeouts).toBe(1);
        expect([a.recorder.closed.length, b.recorder.closed.length]).toEqual([1, 1]);
        bench.linked(a, b); // only one frame was damaged
      }, seed);
    }
  });

  test("dropped connections are reset at both ends", () =>
    simulate((bench) => {
      const [a, b, c] = [bench.node("a"), bench.node("b"), bench.node("c")];
      bench.linked(a, b);
      bench.linked(c, a);
      bench.linked(b, c);
      bench.network.dropConnections("a");
      bench.time.advance(10);
      expect([a, b, c].map(({ recorder }) => recorder.closed.length)).toEqual([2, 1, 1]);
      expect(bench.network.openSockets("a")).toBe(0);
      expect(bench.network.openSockets()).toBe(2);
    }));

  test("an endpoint that is disposed of flushes, and leaves nothing", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      let disposed = false;
      bench.in(a.process, () => {
        for (const epoch of upTo(50)) link.send("0".repeat(32), { kind: "admitted", epoch });
        void a.recorder[Symbol.asyncDispose]().then(() => (disposed = true));
      });
      bench.time.advance(100);
      expect(disposed).toBe(true);
      expect(epochs(b)).toEqual(upTo(50));
      expect(b.recorder.closed.length).toBe(1);
      expect(bench.network.openSockets()).toBe(0);
    }));

  test("a port is taken while its process lives", () =>
    simulate((bench) => {
      const a = bench.node("a");
      const { address } = a.recorder.endpoint;
      const other = new SimulatedProcess(bench.time, { name: "b", pid: 99, host: "b", random: new Random(1) });
      const bind = (): Recorder => bench.in(other, () => new Recorder(identity("b"), {}, address));
      expect(bind).toThrow("another process has this port");
      a.process.kill();
      expect(bind().endpoint.address).toBe(address);
      expect(() => new Recorder(identity("c"))).toThrow("outside of a simulated process");
    }));

  test("X4: the same seed gives the same trace, another seed another one", () => {
    expect(traceOf(5)).toEqual(traceOf(5));
    expect(traceOf(6)).not.toEqual(traceOf(5));
  });

  test("a message costs about one scheduled callback", () =>
    simulate((bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      const link = bench.linked(a, b);
      const before = bench.time.events;
      for (const epoch of upTo(500)) {
        bench.send(a, link, epoch); // an event itself
        bench.time.advance(20);
      }
      const sweeps = 2 * Math.ceil((500 * 20) / 200);
      expect(epochs(b).length).toBe(500);
      expect(bench.time.events - before - 500 - sweeps).toBeLessThan(600);
    }));
});

/** Everything that three nodes see while the network has all of its troubles. */
function traceOf(seed: number): string[] {
  const trace: string[] = [];
  simulate((bench) => {
    const { time, network } = bench;
    const chance = new Random(seed).split("faults");
    Object.assign(network.settings, { splitChance: 0.5, partialWriteChance: 0.2 });
    const nodes = ["a", "b", "c"].map((name) => bench.node(name, { idleCloseMs: 3_000 }));
    const see = (node: Node, what: string): void => void trace.push(`${time.now} ${node.process.name} ${what}`);
    for (const node of nodes) node.recorder.onMessage = (_link, message) => see(node, `got ${message.epoch}`);
    const faults = [
      (a: string, b: string) => network.cut(a, b),
      (a: string, b: string) => network.cutOneWay(a, b),
      (a: string) => network.dropConnections(a),
      (a: string, b: string) => network.slow(a, b, 50),
      (a: string, b: string) => network.clog(a, b, 1),
      (a: string) => network.halfOpen(a),
      (a: string, b: string) => network.corruptNext(a, b),
      () => network.healAll(),
    ];
    for (const epoch of upTo(400)) {
      const from = chance.pick(nodes);
      const to = chance.pick(nodes.filter((node) => node !== from));
      if (chance.chance(0.2)) bench.dial(from, to);
      if (chance.chance(0.1)) chance.pick(faults)(from.process.name, to.process.name);
      for (const link of from.recorder.links) bench.send(from, link, epoch);
      time.advance(chance.between(0, 300));
    }
    for (const node of nodes)
      for (const { link, reason } of node.recorder.closed) see(node, `${link.number} ${reason}`);
    trace.push(`${time.events} events`);
  }, seed);
  return trace;
}
