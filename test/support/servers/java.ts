/** How the test servers' Java processes are started: small heaps, quick to start, one log line format. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { serverJars } from "./jars.ts";
import { type ChildProcess, startProcess } from "./processes.ts";

const LOG_CONFIGURATION = `status = error
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{HH:mm:ss.SSS} %-5p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = STDOUT
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
`;

/** Starts `mainClass` with its files in `folder`. A start that matters for speed tests may ask for the full compiler. */
export async function startJava(
  name: string,
  folder: string,
  heapMb: number,
  mainClass: string,
  args: readonly string[],
  options: { fullCompiler?: boolean; javaOptions?: readonly string[] } = {},
): Promise<ChildProcess> {
  const jars = await serverJars();
  const logFile = join(folder, "log4j2.properties");
  await writeFile(logFile, LOG_CONFIGURATION);
  return startProcess(
    name,
    [
      "java",
      `-Xmx${heapMb}m`,
      "-XX:+UseSerialGC",
      "-Xshare:auto",
      ...(options.fullCompiler === true ? [] : ["-XX:TieredStopAtLevel=1"]),
      `-Dlog4j2.configurationFile=${logFile}`,
      ...(options.javaOptions ?? []),
      "-cp",
      `${jars}/*`,
      mainClass,
      ...args,
    ],
    { cwd: folder },
  );
}
