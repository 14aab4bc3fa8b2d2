/** Seeds that showed bugs of the product stay clean. */
import { expect, test } from "bun:test";
import { regressions } from "./regressions.ts";
import { prepare, runSeed } from "./run-seed.ts";

await prepare();

for (const { seed, found } of regressions) {
  test(`seed ${seed}: ${found}`, () => {
    expect(runSeed(seed).violation).toBeNull();
  });
}
