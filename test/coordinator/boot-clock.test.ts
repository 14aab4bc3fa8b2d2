import { afterEach, expect, setSystemTime, test } from "bun:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BootClock, bootClockId } from "../../src/coordinator/boot-clock.ts";

/** The file's resolution, and what may pass between two readings on a busy machine in the same direction. */
const RESOLUTION_MS = 10;

function uptimeMs(): number {
  return Number.parseFloat(readFileSync("/proc/uptime", "latin1")) * 1_000;
}

afterEach(() => {
  setSystemTime();
});

test("it follows the machine's uptime and never runs ahead of it", () => {
  const clock = new BootClock();
  for (let look = 0; look < 200; look++) {
    const before = uptimeMs();
    const now = clock.nowMs();
    const after = uptimeMs();
    expect(now).toBeGreaterThanOrEqual(before - RESOLUTION_MS);
    expect(now).toBeLessThanOrEqual(after + RESOLUTION_MS);
    Bun.sleepSync(1);
  }
});

test("no step of the wall clock moves it", () => {
  const clock = new BootClock();
  const before = clock.nowMs();
  for (const days of [30, -30]) {
    setSystemTime(new Date(Date.now() + days * 86_400_000));
    Bun.sleepSync(60); // beyond what it remembers
    expect(clock.nowMs()).toBeGreaterThanOrEqual(before);
    expect(clock.nowMs()).toBeLessThanOrEqual(uptimeMs() + RESOLUTION_MS);
  }
});

test("two processes read the same time", () => {
  const module = fileURLToPath(new URL("../../src/coordinator/boot-clock.ts", import.meta.url));
  const program = `const { BootClock } = await import(${JSON.stringify(module)}); console.log(new BootClock().nowMs());`;
  const clock = new BootClock();
  const before = clock.nowMs();
  const child = Bun.spawnSync([process.execPath, "-e", program]);
  const seen = Number(child.stdout.toString());
  expect(seen).toBeGreaterThanOrEqual(before - RESOLUTION_MS);
  expect(seen).toBeLessThanOrEqual(clock.nowMs() + RESOLUTION_MS);
  expect(bootClockId()).toMatch(/^[0-9a-f-]{36}$/);
});
