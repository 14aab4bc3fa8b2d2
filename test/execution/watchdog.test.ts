/** The real worker thread, on real child processes: it kills those whose handlers do not stop, and no others. */
import { describe, expect, test } from "bun:test";
import { startWatchdog, type Watchdog } from "../../src/execution/watchdog.ts";

const LIMIT_MS = 30_000;

async function run(
  mode: string,
  wrapper: readonly string[] = [],
): Promise<{ signal: string | number | null; exitCode: number | null; out: string; err: string }> {
  const child = Bun.spawn([...wrapper, process.execPath, "run", `${import.meta.dir}/watchdog-child.ts`, mode], {
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS - 5_000,
    killSignal: "SIGTERM", // so that our own limit is never taken for the watchdog's kill
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { signal: child.signalCode, exitCode: child.exitCode, out, err };
}

describe("R12: the watchdog kills a process", () => {
  test(
    "whose main thread is blocked by a handler past its time and grace",
    async () => {
      const { signal, out, err } = await run("blocks-forever");
      expect({ signal, out }).toEqual({ signal: "SIGKILL", out: "running\n" });
      expect(err).toContain("neither ended in its time nor obeyed its abort");
    },
    LIMIT_MS,
  );

  test(
    "whose main thread is blocked when its time without the cell is over",
    async () => {
      const { signal, err } = await run("blocks-past-lease");
      expect(signal).toBe("SIGKILL");
      expect(err).toContain("time without its cell is over");
    },
    LIMIT_MS,
  );

  test(
    "that is process 1 of a container, to which the kernel lets no signal from inside through",
    async () => {
      const own = process.getuid?.() === 0 ? [] : ["--map-root-user"];
      const container = ["unshare", ...own, "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
      const { exitCode, out, err } = await run("blocks-forever", container);
      expect({ exitCode, out }).toEqual({ exitCode: 137, out: "running\n" });
      expect(err).toContain("killing process 1");
    },
    LIMIT_MS,
  );

  test(
    "whose handler ignores its abort",
    async () => {
      const { signal, out } = await run("ignores-abort");
      expect({ signal, out }).toEqual({ signal: "SIGKILL", out: "running\n" });
    },
    LIMIT_MS,
  );

  test(
    "whose handler ignores the abort of an isolation, long before its own time is over",
    async () => {
      expect((await run("ignores-isolation")).signal).toBe("SIGKILL");
    },
    LIMIT_MS,
  );
});

describe("R12: the watchdog leaves alone a process", () => {
  const cases: [string, string, string][] = [
    ["whose handler obeys its abort", "obeys-abort", "outcomes 3\n"],
    [
      "whose handlers block one after the other, none of them too long",
      "blocks-in-turns",
      `outcomes ${Array(12).fill(1).join(",")}\n`,
    ],
    ["whose time is over while no handler runs", "lease-over-while-idle", "outcomes 1\n"],
    ["that ends its work", "quick", "outcomes 1\n"],
  ];
  for (const [name, mode, outcomes] of cases) {
    test(
      name,
      async () => {
        const { exitCode, out, err } = await run(mode);
        expect({ exitCode, out, err }).toEqual({ exitCode: 0, out: `running\n${outcomes}done\n`, err: "" });
      },
      LIMIT_MS,
    );
  }
});

describe("R12: the heartbeat", () => {
  test("answers move healthyUntil on, and each is told", async () => {
    const told: number[] = [];
    await using watchdog = await startWatchdog({
      lookMs: 5,
      askMs: 10,
      healthyMs: 500,
      onHealthy: (until) => told.push(until),
    });
    const first = watchdog.healthyUntil();
    expect(first).toBeLessThanOrEqual(performance.now() + 500);
    while (watchdog.healthyUntil() <= first) await Bun.sleep(2);
    expect(told.length).toBeGreaterThanOrEqual(2);
    expect(told.toSorted((a, b) => a - b)).toEqual(told);
  });

  test("an answer counts from its question, however late it is read", async () => {
    let now = 1_000;
    await using watchdog = await startWatchdog({ lookMs: 5, askMs: 60_000, healthyMs: 100, now: () => now });
    now = 5_000;
    expect(watchdog.healthyUntil()).toBe(1_100);
  });

  test("a thread that looks too seldom leaves the node unhealthy", async () => {
    const refused = await startWatchdog({ lookMs: 60_000, startMs: 100 }).then(
      () => "it started",
      (error: unknown) => String(error),
    );
    expect(refused).toContain("did not answer within 100 ms");
  });

  test("after its end nothing is healthy", async () => {
    let ended: Watchdog;
    {
      await using watchdog = await startWatchdog({ lookMs: 5 });
      ended = watchdog;
    }
    expect(ended.healthyUntil()).toBe(Number.NEGATIVE_INFINITY);
    await ended[Symbol.asyncDispose]();
  });
});
