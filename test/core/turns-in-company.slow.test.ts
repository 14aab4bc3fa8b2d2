/** The driver gives the core several events before one turn: the same random histories must hold then, too. */
import { expect, spyOn, test } from "bun:test";
import { NodeCore } from "../../src/core/node.ts";
import { Chaos, generator } from "./chaos.ts";

const SEEDS = 40;

test(`G0, G1, G2: ${SEEDS} random histories in which events share turns`, () => {
  let together = 0;
  const original = Object.getOwnPropertyDescriptor(NodeCore.prototype, "step")?.value as typeof NodeCore.prototype.step;
  const random = generator(7);
  // The cell in virtual time ticks every few milliseconds, so that each turn that is left out here is soon made up for.
  const spy = spyOn(NodeCore.prototype, "step").mockImplementation(function (this: NodeCore, event, now) {
    const more = event.type !== "tick" && random() < 0.7;
    if (more) together++;
    return original.call(this, event, now, more);
  });
  const failures: string[] = [];
  try {
    for (let seed = 1_000; seed < 1_000 + SEEDS; seed++) {
      try {
        new Chaos(seed).run();
      } catch (error) {
        failures.push(`seed ${seed}: ${(error as Error).message}`);
      }
    }
  } finally {
    spy.mockRestore();
  }
  expect(failures).toEqual([]);
  expect(together).toBeGreaterThan(1_000);
}, 120_000);
