/** A process with a watchdog and a runner, for `watchdog.test.ts`; the first argument names what it does wrong. */
import { resolveTasks } from "../../src/execution/resolve.ts";
import { Runner } from "../../src/execution/runner.ts";
import { startWatchdog } from "../../src/execution/watchdog.ts";
import { executeEffect, FakeProducer, record } from "./support.ts";

function block(ms: number): void {
  const from = performance.now();
  while (performance.now() - from < ms);
}

type Context = { readonly signal: AbortSignal };
const FOREVER_MS = 60_000;
const handlers: Record<string, (context: Context) => unknown> = {
  "blocks-forever": () => block(FOREVER_MS),
  "blocks-past-lease": () => block(FOREVER_MS),
  "ignores-abort": () => Bun.sleep(FOREVER_MS),
  "ignores-isolation": () => Bun.sleep(FOREVER_MS),
  "obeys-abort": (context) =>
    new Promise((_, reject) => context.signal.addEventListener("abort", () => reject(new Error("stopped")))),
  "blocks-in-turns": () => block(60),
  "lease-over-while-idle": () => undefined,
  quick: () => Bun.sleep(1),
};

const mode = process.argv[2] ?? "";
const endless = mode === "blocks-past-lease" || mode === "ignores-isolation";
const watchdog = await startWatchdog({ lookMs: 20, askMs: 50 });
const runner = new Runner({
  tasks: resolveTasks([
    {
      name: "child",
      exported: {
        topic: "t",
        onUnknown: "park",
        handlerTimeoutMs: endless ? FOREVER_MS : 200,
        abortGraceMs: endless && mode !== "ignores-isolation" ? FOREVER_MS : 200,
        execute: (_task: unknown, context: Context) => handlers[mode]?.(context),
      },
    },
  ]),
  now: () => performance.now(),
  record: (_pid, offset) => record(offset),
  producer: new FakeProducer(),
  guard: watchdog,
  log: () => undefined,
  onResults: (_pid, _offsets, outcomes) => console.log(`outcomes ${outcomes.join(",")}`),
  onCheckResult: () => undefined,
  onSetAside: () => undefined,
});

watchdog.lease(mode === "blocks-past-lease" || mode === "lease-over-while-idle" ? 200 : 30_000);
console.log("running");
// Turns of 60 ms each: together far above the time of one handler, none of them too long.
const count = mode === "blocks-in-turns" ? 12 : 1;
runner.execute(executeEffect(Array.from({ length: count }, (_, i) => i)));
if (mode === "ignores-isolation") runner.abortAll("isolated");
if (mode === "lease-over-while-idle") await Bun.sleep(600);
await runner.close();
await watchdog[Symbol.asyncDispose]();
console.log("done");
