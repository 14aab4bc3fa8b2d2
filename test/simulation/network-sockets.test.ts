import { describe, expect, test } from "bun:test";
import { pair, simulate, upTo } from "./network-support.ts";

describe("sockets of the simulated network", () => {
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
});
