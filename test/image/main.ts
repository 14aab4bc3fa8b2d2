/**
 * `bun run test/image/main.ts`: builds both targets of the Dockerfile and runs them as containers. Prints each check with
 * its seconds, and ends with "N passed, N failed". Needs root, buildah, mmdebstrap, and Java for the cell of three nodes.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ImageStore } from "./buildah.ts";
import { checkCompose } from "./check-compose.ts";
import { checkImage } from "./check-image.ts";

/** Where a check keeps its files. */
export type Folder = (name: string) => string;
export type Check = (name: string, run: () => Promise<void>) => Promise<boolean>;

const COMMIT = "0123456789ab"; // any: it must come out again
const folder = mkdtempSync(join(tmpdir(), "vouch-image-"));
let passed = 0;
let failed = 0;

const check: Check = async (name, run) => {
  const began = performance.now();
  const seconds = (): string => `${((performance.now() - began) / 1_000).toFixed(1)} s`;
  try {
    await run();
    passed++;
    console.log(`(pass) ${name} [${seconds()}]`);
    return true;
  } catch (error) {
    failed++;
    console.log(`(fail) ${name} [${seconds()}]\n${String(error instanceof Error ? (error.stack ?? error) : error)}`);
    return false;
  }
};

/** A folder of its own for each, as an engine's volumes are: the node's user may write, nobody else's files are there. */
const ownFolder: Folder = (name) => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
};

try {
  await using store = new ImageStore(ownFolder("store"));
  if (await check("base images from Debian's packages", () => store.makeBases())) {
    for (const target of ["sources", "executable"]) {
      if (!(await check(`${target}: builds`, () => store.build(target, COMMIT)))) continue;
      await checkImage({ target, store, commit: target === "executable" ? COMMIT : "", check, folder: ownFolder });
      if (target === "executable") await checkCompose({ store, check, folder: ownFolder });
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
