import { describe, expect, test } from "bun:test";
import { describeError } from "../../src/errors.ts";
import type { Link } from "../../src/links/link.ts";
import type { LinkSettings } from "../../src/links/link-settings.ts";
import type { PeerIdentity } from "../../src/links/handshake.ts";
import { identity, Recorder } from "../links/support.ts";
import { withMachine } from "./globals.ts";
import { SimulatedNetwork } from "./network.ts";
import type { SimulatedSocket, SocketHandlers } from "./network-socket.ts";
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

  process(name: string): SimulatedProcess {
    const pid = ++this.#pids;
    return new SimulatedProcess(this.time, { name, pid, host: name, random: this.#random.split(`process ${pid}`) });
  }

  node(name: string, settings: Partial<LinkSettings> = {}, changes: Partial<PeerIdentity> = {}): Node {
    const process = this.process(name);
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
        (error: unknown) => (outcome.error = describeError(error)),
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

/** One end of a connection without our protocol. */
interface RawEnd {
  readonly process: SimulatedProcess;
  readonly socket: SimulatedSocket;
  readonly reads: number[][];
  readonly drains: number;
  readonly closed: string | null; // the error's code, or "" for an orderly end
}

/** A connection between two processes, "c" to "s". */
function pair(bench: Bench): { readonly server: RawEnd; readonly client: RawEnd } {
  const end = (name: string) => {
    const state = {
      process: bench.process(name),
      socket: null as SimulatedSocket | null,
      reads: [] as number[][],
      drains: 0,
      closed: null as string | null,
    };
    const handlers: SocketHandlers = {
      open: (socket) => void (state.socket = socket),
      data: (_socket, chunk) => void state.reads.push([...chunk]),
      drain: () => void state.drains++,
      close: (_socket, error) => void (state.closed = String((error as { code?: string } | undefined)?.code ?? "")),
    };
    return { state, handlers };
  };
  const [server, client] = [end("s"), end("c")];
  const on = { hostname: "127.0.0.1" };
  const listen = { ...on, port: 0, socket: server.handlers };
  const { port } = bench.in(server.state.process, () => bench.network.listen(listen));
  bench.in(client.state.process, () => void bench.network.connect({ ...on, port, socket: client.handlers }));
  bench.time.advance(50);
  return { server: server.state as RawEnd, client: client.state as RawEnd };
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

  test("a write arrives in several reads when the seed says so, also at one moment", () => {
    for (const latencyMs of [[0, 0] as const, [1, 5] as const]) {
      simulate((bench) => {
        Object.assign(bench.network.settings, { splitChance: 1, partialWriteChance: 0, latencyMs });
        const { server, client } = pair(bench);
        client.socket.write(Uint8Array.from(upTo(100)));
        bench.time.advance(100);
        expect(server.reads.flat()).toEqual(upTo(100));
        expect(server.reads.length).toBeGreaterThan(1);
      });
    }
  });

  test("a connect that is refused rejects with the code that Bun gives", () =>
    simulate((bench) => {
      const process = bench.process("c");
      let code = "";
      const refused = (error: { code: string }): void => void (code = error.code);
      bench.in(
        process,
        () => void bench.network.connect({ hostname: "127.0.0.1", port: 1, socket: {} }).catch(refused),
      );
      bench.time.advance(20);
      expect(code).toBe("ECONNREFUSED");
    }));

  test("a reset is sent once: a cut swallows it, and who sends to the dead socket later gets another", () => {
    const outcomes = new Set<string>();
    for (const seed of upTo(40)) {
      simulate((bench) => {
        const isCutFirst = seed % 2 === 0;
        const isKilled = seed % 4 < 2;
        const { server, client } = pair(bench);
        if (isCutFirst) bench.network.cut("s", "c");
        if (isKilled) server.process.kill();
        else bench.in(server.process, () => server.socket.terminate());
        bench.network.cut("s", "c");
        bench.time.advance(1_000);
        bench.network.heal("s", "c");
        bench.time.advance(10_000);
        const idle = client.closed ?? "nothing";
        client.socket.write(Uint8Array.of(1));
        bench.time.advance(20);
        outcomes.add(`${isKilled ? "killed" : "terminated"}: ${idle}, then ${client.closed}`);
        expect(bench.network.rememberedSockets).toBe(0);
      }, seed);
    }
    // An orderly end is sent again after the heal; a killed process's kernel may do either.
    const expected = ["killed: , then ", "killed: nothing, then ECONNRESET", "terminated: nothing, then ECONNRESET"];
    expect([...outcomes].toSorted()).toEqual(expected);
  });

  for (const follow of [0, 1]) {
    test(`bytes that reach a socket after its end are answered by a reset, also when ${follow} more come each turn`, () =>
      simulate((bench) => {
        Object.assign(bench.network.settings, { latencyMs: [1, 1] });
        const { server, client } = pair(bench);
        bench.network.slow("c", "s", 100);
        bench.network.cutOneWay("s", "c");
        client.socket.write(Uint8Array.of(1));
        bench.in(server.process, () => server.socket.terminate());
        bench.network.heal("s", "c");
        for (let turn = 0; turn < 404; turn++) {
          if (turn === 396) expect(client.closed).toBeNull();
          if (follow > 0) client.socket.write(Uint8Array.of(2));
          bench.time.advance(0.5);
        }
        expect(client.closed).toBe("ECONNRESET");
      }));
  }

  test("a write that is taken in part drains although the other end reads nothing", () =>
    simulate((bench) => {
      Object.assign(bench.network.settings, { partialWriteChance: 1 });
      const { server, client } = pair(bench);
      server.process.stop();
      expect(client.socket.write(new Uint8Array(1_000))).toBeLessThan(1_000);
      bench.time.advance(20);
      expect(client.drains).toBe(1);
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
      for (const { error } of dials) expect(error).toContain("cannot be reached: Failed to connect");
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

  test("a connect that hangs succeeds after a heal, for good", () =>
    simulate((bench) => {
      const patient = { handshakeTimeoutMs: 100_000, idleCloseMs: 1_000_000 };
      const [a, b] = [bench.node("a", patient), bench.node("b", patient)];
      bench.network.cut("a", "b");
      const dial = bench.dial(a, b);
      bench.time.advance(10_000);
      bench.network.heal("a", "b");
      bench.time.advance(200_000);
      expect([dial.link === null, a.recorder.closed.length, b.recorder.closed.length]).toEqual([false, 0, 0]);
    }));

  test("who dies while it connects is not accepted, and another node's process does not get its connects", () =>
    simulate((bench) => {
      const [a, b, c] = [bench.node("a"), bench.node("b"), bench.node("c")];
      bench.dial(a, b);
      a.process.kill();
      bench.network.slow("b", "c", 100);
      const dial = bench.dial(c, b);
      bench.time.advance(50);
      expect(b.recorder.endpoint.counters.accepted).toBe(0);
      b.process.kill();
      bench.in(bench.process("d"), () => new Recorder(identity("b"), {}, b.recorder.endpoint.address));
      bench.time.advance(250);
      expect(dial.error).toContain("Failed to connect");
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

  for (const when of ["before", "after"]) {
    for (const way of ["both ways", "there", "back"]) {
      test(`a cut (${way}) that lasts ends the connection of who sent ${when} it`, () =>
        simulate((bench) => {
          const patient = { idleCloseMs: 1_000_000 };
          const [a, b] = [bench.node("a", patient), bench.node("b", patient)];
          const link = bench.linked(a, b);
          if (when === "before") bench.send(a, link, 1);
          if (way !== "back") bench.network.cutOneWay("a", "b");
          if (way !== "there") bench.network.cutOneWay("b", "a");
          if (when === "after") bench.send(a, link, 1);
          bench.time.advance(bench.network.settings.unacknowledgedMs - 10);
          expect(a.recorder.closed).toEqual([]);
          bench.time.advance(20);
          expect(a.recorder.closed[0]!.reason).toContain("ETIMEDOUT");
          bench.network.healAll();
          bench.time.advance(100_000);
          expect(b.recorder.closed).toEqual([]); // it hears of it when it sends
          bench.send(b, b.recorder.links[0]!, 2);
          bench.time.advance(100);
          expect(b.recorder.closed[0]!.reason).toContain("ECONNRESET");
          expect([epochs(a), epochs(b)]).toEqual([[], way === "back" ? [1] : []]);
          expect(bench.network.rememberedSockets).toBe(0);
        }));
    }
  }

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
      const patient = { idleCloseMs: 1_000_000 };
      const [a, b] = [bench.node("a", patient), bench.node("b", patient)];
      const link = bench.linked(a, b);
      bench.network.cutOneWay("a", "b");
      for (const epoch of upTo(5)) bench.send(b, b.recorder.links[0]!, epoch);
      bench.send(a, link, 1);
      bench.time.advance(1_000);
      bench.network.heal("a", "b");
      bench.time.advance(14_000);
      expect([epochs(a), epochs(b)]).toEqual([upTo(5), [1]]);
      bench.network.settings.unacknowledgedMs = 100;
      bench.network.cut("a", "b"); // nothing is under way, so nobody misses anything
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
      bench.send(a, link, 1);
      b.process.kill();
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

  test("a clogged link lets through what it can, and after the heal all of it", () => {
    for (const end of ["healAll", "clog"] as const)
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
        if (end === "healAll") bench.network.healAll();
        else bench.network.clog("a", "b", Infinity);
        bench.time.advance(500);
        expect(epochs(b)).toEqual(upTo(100));
      });
  });

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
        bench.network.settings.partialWriteChance = 0.7;
        const pids = upTo(10).map((n) => n * 1_000_000);
        for (const epoch of upTo(200)) {
          bench.in(a.process, () => link.send("0".repeat(32), { kind: "nudge", epoch, pids }));
          if (epoch === 3) bench.network.corruptNext("a", "b"); // a part of the last frame may still wait
          bench.time.advance(epoch < 4 ? 0 : 100);
        }
        const { messages } = b.recorder;
        expect(messages.length).toBeLessThan(12);
        const sent = upTo(messages.length).map((epoch) => ({ kind: "nudge", epoch, pids }));
        expect(messages.map(({ message }) => message)).toEqual(sent as never);
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

  test("whatever happens, a connection brings a beginning of what was sent, and in the end the nodes find each other", () => {
    for (const seed of upTo(40)) {
      simulate((bench) => {
        const nodes = troubled(bench, seed);
        for (const node of nodes) {
          for (const link of node.recorder.links.filter(({ outgoing }) => outgoing)) {
            const to = nodes.find(({ recorder }) => link.peer.endsWith(recorder.self.bootId))!;
            // The node that dialled sends, so the number of its link names what it says there.
            const said = to.recorder.messages.filter(
              ({ message }) => speaker(message.epoch) === speaker(stamp(node, link, 0)),
            );
            expect(said.map(({ message }) => message.epoch)).toEqual(
              upTo(said.length).map((n) => stamp(node, link, n)),
            );
          }
        }
        for (const from of nodes) for (const to of nodes) if (from !== to) bench.linked(from, to);
        for (const node of nodes) bench.in(node.process, () => void node.recorder[Symbol.asyncDispose]());
        bench.time.advance(1_000);
        expect(bench.network.openSockets()).toBe(0);
        expect(bench.network.rememberedSockets).toBe(0);
      }, seed);
    }
  });

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

/** What a link's dialler says as its n-th message. */
function stamp(node: Node, link: Link, n: number): number {
  return (node.process.pid * 1_000 + link.number) * 10_000 + n;
}

function speaker(epoch: number): number {
  return Math.floor(epoch / 10_000);
}

/** Three nodes that talk while the network has all of its troubles; at the end all are healed. */
function troubled(bench: Bench, seed: number): Node[] {
  const { time, network } = bench;
  const chance = new Random(seed).split("faults");
  Object.assign(network.settings, { splitChance: 0.5, partialWriteChance: 0.2, unacknowledgedMs: 2_000 });
  const nodes = ["a", "b", "c"].map((name) => bench.node(name, { idleCloseMs: 3_000 }));
  const faults: ((a: Node, b: Node) => void)[] = [
    (a, b) => network.cut(a.process.name, b.process.name),
    (a, b) => network.cutOneWay(a.process.name, b.process.name),
    (a) => network.dropConnections(a.process.name),
    (a, b) => network.slow(a.process.name, b.process.name, 50),
    (a, b) => network.clog(a.process.name, b.process.name, 1),
    (a) => network.halfOpen(a.process.name),
    (a, b) => network.corruptNext(a.process.name, b.process.name),
    (a) => a.process.stop(),
    (a) => a.process.continue(),
    (a, b) => network.heal(a.process.name, b.process.name),
    () => network.healAll(),
  ];
  const sent = new Map<Link, number>();
  for (let turn = 0; turn < 400; turn++) {
    const from = chance.pick(nodes);
    const to = chance.pick(nodes.filter((node) => node !== from));
    if (chance.chance(0.2)) from.process.enter(() => void from.recorder.dial(to.recorder).catch(() => undefined));
    if (chance.chance(0.1)) chance.pick(faults)(from, to);
    from.process.enter(() => {
      for (const link of from.recorder.links.filter(({ outgoing }) => outgoing)) {
        const n = sent.get(link) ?? 0;
        sent.set(link, n + 1);
        link.send("0".repeat(32), { kind: "admitted", epoch: stamp(from, link, n) });
      }
    });
    time.advance(chance.between(0, 300));
  }
  for (const node of nodes) node.process.continue();
  network.healAll();
  time.advance(10_000);
  return nodes;
}

function traceOf(seed: number): string[] {
  const trace: string[] = [];
  simulate((bench) => {
    const { time } = bench;
    time.onEvent = (process) => void trace.push(`${time.now} ${process?.name ?? ""}`);
    for (const { recorder } of troubled(bench, seed)) {
      for (const { link, message } of recorder.messages) trace.push(`${link.peer} ${message.epoch}`);
      for (const { link, reason } of recorder.closed) trace.push(`${link.peer} ${link.number} ${reason}`);
    }
  }, seed);
  return trace;
}
