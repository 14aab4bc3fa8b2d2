/** `produce`: writes tasks into a topic, from NDJSON or generated ones. */
import { existsSync } from "node:fs";
import { loadOptions } from "../config/load.ts";
import { option, type OptionValues } from "../config/option.ts";
import { nodeOptions } from "../config/option-table.ts";
import { integer, text, toggle } from "../config/option-types.ts";
import { saslViolations } from "../config/relations.ts";
import { ConfigurationError, VouchError } from "../errors.ts";
import type { OutgoingRecord, TaskLog } from "../task-log/task-log.ts";
import type { CliContext, Command } from "./command.ts";
import { ExitCode } from "./exit-code.ts";
import { openTaskLog } from "../runtime/servers.ts";
import { logOptions } from "./server-options.ts";
import { generatedTasks, openInput, parseTaskLine, type TaskSource } from "./task-lines.ts";

const GROUP = "Tasks";

const options = {
  count: option({
    type: integer(0),
    default: 0,
    defaultText: "none: read NDJSON",
    unit: "tasks",
    group: GROUP,
    description: "generate this many tasks instead of reading them",
  }),
  idPrefix: option({
    type: text("TEXT", /^\S{0,100}$/, "up to 100 characters without spaces"),
    default: "task-",
    unit: "",
    group: GROUP,
    description: "generated tasks carry this and their number as task id",
  }),
  partitions: option({
    type: integer(1, 10_000),
    default: 6,
    unit: "",
    group: GROUP,
    description: "partitions of the topic, if it must be created",
  }),
  batch: option({
    type: integer(1, 10_000),
    default: 500,
    unit: "tasks",
    group: GROUP,
    description: "tasks in one request to the log",
  }),
  json: option({
    type: toggle(),
    default: false,
    unit: "",
    group: GROUP,
    description: "end standard output with one JSON object",
  }),
};

/** What Kafka takes as a name. */
const TOPIC = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/;

type ProduceOptions = OptionValues<typeof options>;

const table = { ...options, ...logOptions };

export const produceCommand: Command = {
  name: "produce",
  summary:
    'writes tasks into a topic: NDJSON lines {"value":…, "id"?, "key"?, "headers"?, "partition"?}, or generated ones',
  positionals: ["<topic>", "[file, or - for standard input]"],
  options: table,
  run: produce,
};

async function produce(context: CliContext): Promise<ExitCode> {
  const loaded = loadOptions(
    table,
    { argv: context.argv, environment: context.environment, positionals: produceCommand.positionals },
    { ...nodeOptions, ...table },
  );
  const { values, given, positionals } = loaded;
  const [topic = "", file] = positionals;
  const violations = [...loaded.violations, ...saslViolations(values, given)];
  if (topic !== "" && !TOPIC.test(topic)) {
    violations.push(`<topic>: expected 1 to 249 letters, digits, ".", "_" or "-", got ${JSON.stringify(topic)}`);
  }
  if (!given.has("kafkaBrokers") && values.dataDir === "") {
    violations.push("no log to write to: expected --kafka-brokers or, for the embedded log, --data-dir; got neither");
  }
  if (given.has("count") && file !== undefined) violations.push(`--count and ${file}: expected one of them, got both`);
  // Before a topic is made for it; a folder is found out by reading.
  if (file !== undefined && file !== "-" && !existsSync(file)) violations.push(`${file}: no such file`);
  if (violations.length > 0) throw new ConfigurationError(violations);

  const startedAt = performance.now();
  const log = openTaskLog(values, "produce", (message) => context.err(`${message}\n`));
  try {
    const partitions = await ensureTopic(log, topic, values.partitions);
    const source = given.has("count") ? generatedTasks(values.count, values.idPrefix) : parsed(file ?? "-", partitions);
    const produced = await send(log, topic, source, values);
    const seconds = Number(((performance.now() - startedAt) / 1_000).toFixed(3));
    context.err(`${produced} task(s) written to ${topic} in ${seconds} s\n`);
    if (values.json) context.out(`${JSON.stringify({ topic, produced, seconds })}\n`);
    return ExitCode.done;
  } finally {
    await log.close();
  }
}

/** Returns how many partitions the topic has. */
async function ensureTopic(log: TaskLog, topic: string, wanted: number): Promise<number> {
  const admin = log.admin();
  try {
    const found = await admin.describeTopic(topic);
    if (found === null) await admin.createTopic(topic, wanted);
    return found?.partitions ?? wanted;
  } finally {
    await admin.close();
  }
}

/** @throws VouchError "usage" naming the line that is no task. */
async function* parsed(path: string, partitions: number): TaskSource {
  const input = path === "-" ? "standard input" : path;
  let number = 0;
  for await (const line of openInput(path)) {
    number++;
    if (line.trim() === "") continue;
    const task = parseTaskLine(line, partitions);
    if (typeof task === "string") throw new VouchError("usage", `${input}, line ${number}: ${task}`);
    yield task;
  }
}

/** Sends in batches, one after the other, and returns how many were acknowledged. */
async function send(log: TaskLog, topic: string, source: TaskSource, { batch }: ProduceOptions): Promise<number> {
  const producer = log.producer();
  let sent = 0;
  let waiting: OutgoingRecord[] = [];
  const flush = async (): Promise<void> => {
    await producer.send(topic, waiting);
    sent += waiting.length;
    waiting = [];
  };
  try {
    for await (const record of source) {
      waiting.push(record);
      if (waiting.length >= batch) await flush();
    }
    if (waiting.length > 0) await flush();
  } catch (error) {
    const after = `${sent} task(s) were written to ${topic} before this`;
    if (error instanceof VouchError)
      throw new VouchError(error.code, `${error.message} (${after})`, { cause: error.cause });
    throw new VouchError("task-log", `cannot write tasks (${after})`, { cause: error });
  } finally {
    await producer.close();
  }
  return sent;
}
