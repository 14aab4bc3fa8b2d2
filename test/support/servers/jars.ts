/**
 * The class path of the test servers. The first test that needs it lets Maven copy the jars named in `pom.xml` into
 * `.cache/servers-kafka-<version>-<hash of pom.xml>/`; later ones only read the folder's name. Two test processes that
 * start together do not both download: the one that creates the lock folder does, the others wait for the finished one.
 */

import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

const CACHE = resolve(import.meta.dir, "../../../.cache");
const POM = join(import.meta.dir, "pom.xml");
/** Which Kafka the tests run against; `npm run test:kafka39` sets another one. */
export const KAFKA_VERSION = process.env["TEST_KAFKA_VERSION"] ?? "4.1.0";
const WAIT_MS = 300_000;
const LOCK_WITHOUT_OWNER_MS = 5_000;

let fetched: Promise<string> | null = null;

/** The folder with all jars; fetched once. Its name is followed by `/*` on a class path. */
export function serverJars(): Promise<string> {
  fetched ??= findOrFetch().catch((error: unknown) => {
    fetched = null;
    throw error;
  });
  return fetched;
}

async function findOrFetch(): Promise<string> {
  const hash = Bun.hash(await readFile(POM)).toString(16);
  const target = join(CACHE, `servers-kafka-${KAFKA_VERSION}-${hash}`);
  if (existsSync(target)) return target;

  await mkdir(CACHE, { recursive: true });
  const lock = `${target}.lock`;
  const startedMs = performance.now();
  while (!(await takeLock(lock))) {
    if (existsSync(target)) return target;
    if (performance.now() - startedMs > WAIT_MS) throw new Error(`${lock} has been held for ${WAIT_MS} ms`);
    await Bun.sleep(100);
  }
  try {
    if (!existsSync(target)) await fetchInto(target);
    return target;
  } finally {
    await rm(lock, { recursive: true, force: true });
  }
}

async function takeLock(lock: string): Promise<boolean> {
  try {
    await mkdir(lock);
    await writeFile(join(lock, "pid"), String(process.pid));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  if (await ownerIsGone(lock)) await rm(lock, { recursive: true, force: true });
  return false;
}

async function ownerIsGone(lock: string): Promise<boolean> {
  try {
    const pid = Number(await readFile(join(lock, "pid"), "utf8"));
    process.kill(pid, 0);
    return false;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ESRCH") return true;
    if (code !== "ENOENT") return false;
  }
  // No pid in it: either its owner is just writing it, or died in between.
  try {
    return Date.now() - (await stat(lock)).mtimeMs > LOCK_WITHOUT_OWNER_MS;
  } catch {
    return false; // released meanwhile: the next try takes it
  }
}

async function fetchInto(target: string): Promise<void> {
  const partial = `${target}.${process.pid}.partial`;
  const maven = Bun.spawn(
    [
      "mvn",
      "-q",
      "-B",
      "-f",
      POM,
      `-Dkafka.version=${KAFKA_VERSION}`,
      "dependency:copy-dependencies",
      "-DincludeScope=runtime",
      `-DoutputDirectory=${partial}`,
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [code, output, errors] = await Promise.all([
    maven.exited,
    new Response(maven.stdout).text(),
    new Response(maven.stderr).text(),
  ]);
  if (code !== 0) {
    await rm(partial, { recursive: true, force: true });
    throw new Error(`mvn dependency:copy-dependencies ended with ${code}:\n${output}\n${errors}`);
  }
  await rename(partial, target);
}
