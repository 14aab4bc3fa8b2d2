import { describe, expect, test } from "bun:test";
import { identity, Recorder } from "../links/support.ts";
import { epochs, simulate, upTo } from "./network-support.ts";

describe("the simulated network in trouble, under real peer links", () => {
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
});
