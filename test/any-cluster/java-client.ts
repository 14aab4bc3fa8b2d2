/** Runs `JavaClient.java` with the jars of the test servers: the compiler inside `java` takes the source as it is. */
import { join } from "node:path";
import { serverJars } from "../support/servers/jars.ts";
import { startProcess } from "../support/servers/processes.ts";

const SOURCE = join(import.meta.dir, "JavaClient.java");
const LOGGING = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-Dlog4j2.level=ERROR"];

/** A record as Kafka's own consumer of committed records sees it. */
export interface SeenRecord {
  readonly partition: number;
  readonly offset: number;
  readonly id: string;
}

/** Carries out the steps; answers what the "read" ones saw. @throws Error with its output when one fails. */
export async function javaClient(brokers: string, ...steps: readonly string[][]): Promise<readonly SeenRecord[]> {
  const child = startProcess("JavaClient", [
    "java",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    ...LOGGING,
    "-cp",
    `${await serverJars()}/*`,
    SOURCE,
    brokers,
    ...steps.flat(),
  ]);
  const code = await child.exited;
  if (code !== 0) {
    const hint = child.output().includes("main class") ? " (it needs a JDK: a JRE cannot run a source file)" : "";
    throw new Error(`JavaClient ended with ${code}${hint}:\n${child.output()}`);
  }
  return child
    .output()
    .split("\n")
    .flatMap((line) => {
      const found = /^(\d+) (\d+) (\S+)$/.exec(line);
      return found === null ? [] : [{ partition: Number(found[1]), offset: Number(found[2]), id: found[3] ?? "" }];
    });
}
