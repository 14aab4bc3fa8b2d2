import { describe, expect, test } from "bun:test";
import { identity, Recorder } from "../links/support.ts";
import { epochs, simulate, upTo } from "./network-support.ts";
import { Random } from "./random.ts";
import { SimulatedProcess } from "./virtual-time.ts";

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
