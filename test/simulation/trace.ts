/**
 * The story of one seed as a time line for a person: faults, leadership, and what happened to the tasks that the violation names.
 * Reads only the event log. Left of each line stands the cell at that moment, one letter a node.
 */
import type { HistoryEvent } from "./history.ts";
import type { SeedResult } from "./seed-result.ts";

const LEGEND = "L leads, H runs a handler of the tasks told here, + runs, s stopped, x dead, . not started";
/** Of `--full`: a longer story is cut in its middle. */
const LINES_MAX = 20_000;
const LAST_NOTES_MS = 5_000;

/** What a story is about. */
interface Subject {
  readonly tasks: ReadonlySet<string>;
  readonly partitions: ReadonlySet<number>;
  /** Nodes that ran, checked, set aside or committed one of the tasks. */
  readonly nodes: ReadonlySet<string>;
  /** Runs and checks of the tasks, by number. */
  readonly runs: ReadonlySet<number>;
  readonly checks: ReadonlySet<number>;
  /** "partition:offset" of their records. */
  readonly records: ReadonlySet<string>;
  /** The nodes' own log lines are told from here on. */
  readonly notesFrom: number;
}

/** Task ids and "partition:offset" pairs that a text names as whole words. */
function namedIn(text: string, events: readonly HistoryEvent[]): Set<string> {
  const words = new Set(text.split(/[\s,;"'()[\]{}]+/).flatMap((word) => [word, word.replace(/[.:!?]+$/, "")]));
  const tasks = new Set<string>();
  for (const event of events) {
    if (event.type !== "produced" && event.type !== "handler-start") continue;
    if (words.has(event.taskId) || words.has(`${event.partition}:${event.offset}`)) tasks.add(event.taskId);
    if (words.has(`${event.partition}/${event.offset}`)) tasks.add(event.taskId);
  }
  const record = /partition (\d+)\D{1,20}offset (\d+)|offset (\d+) of partition (\d+)/.exec(text);
  if (record === null) return tasks;
  const partition = Number(record[1] ?? record[4]);
  const offset = Number(record[2] ?? record[3]);
  for (const event of events) {
    if (event.type === "produced" && event.partition === partition && event.offset === offset) tasks.add(event.taskId);
  }
  return tasks;
}

function subjectOf(result: SeedResult, events: readonly HistoryEvent[]): Subject {
  const tasks = namedIn(result.violation?.message ?? "", events);
  const partitions = new Set<number>();
  const nodes = new Set<string>();
  const runs = new Set<number>();
  const checks = new Set<number>();
  const records = new Set<string>();
  for (const event of events) {
    if (!("taskId" in event) || !tasks.has(event.taskId)) continue;
    if ("partition" in event) {
      partitions.add(event.partition);
      records.add(`${event.partition}:${event.offset}`);
    }
    if ("node" in event) nodes.add(event.node);
    if (event.type === "handler-start") runs.add(event.run);
    if (event.type === "check-start") checks.add(event.check);
  }
  for (const event of events) if (event.type === "committed" && passes(event, records)) nodes.add(event.node);
  // Where no task is named, what the nodes said last says most.
  const notesFrom = tasks.size === 0 ? result.virtualMs - LAST_NOTES_MS : Infinity;
  return { tasks, partitions, nodes, runs, checks, records, notesFrom };
}

function passes(event: { partition: number; position: number; before: number | null }, records: ReadonlySet<string>) {
  for (const record of records) {
    const [partition, offset] = record.split(":").map(Number) as [number, number];
    if (partition !== event.partition) continue;
    const before = event.before ?? -1;
    // It commits the record, or takes it back.
    if ((before <= offset && offset < event.position) || (event.position <= offset && offset < before)) return true;
  }
  return false;
}

function concerns(event: HistoryEvent, subject: Subject): boolean {
  switch (event.type) {
    case "produced":
    case "handler-start":
    case "effect":
    case "check-start":
    case "set-aside":
      return subject.tasks.has(event.taskId);
    case "handler-end":
      return subject.runs.has(event.run);
    case "check-end":
      return subject.checks.has(event.check);
    case "committed":
      return event.node === "" || passes(event, subject.records);
    case "role":
      return subject.nodes.has(event.node) || subject.tasks.size === 0;
    case "alarm":
      return subject.partitions.has(event.partition) || subject.nodes.has(event.node) || subject.tasks.size === 0;
    case "note":
      return event.at >= subject.notesFrom;
    default:
      return true; // faults, processes, leadership, the end
  }
}

/** The strip of letters at the left: what each node is at the moment. */
class Strip {
  readonly #state = new Map<string, string>();
  readonly #handlers = new Map<number, string>();
  #leader = "";

  constructor(events: readonly HistoryEvent[]) {
    const names = events.flatMap((event) => (event.type === "process" ? [event.node] : []));
    for (const name of [...new Set(names)].sort()) this.#state.set(name, ".");
  }

  get names(): string {
    return [...this.#state.keys()].join(" ");
  }

  take(event: HistoryEvent, subject: Subject): void {
    if (event.type === "process") {
      const dead = event.what === "killed" || event.what === "exited";
      this.#state.set(event.node, dead ? "x" : event.what === "stopped" ? "s" : "+");
      if (dead && this.#leader === event.node) this.#leader = "";
    } else if (event.type === "leads") this.#leader = event.node;
    else if (event.type === "role" && event.node === this.#leader && event.role !== "leader") this.#leader = "";
    else if (event.type === "handler-start" && subject.runs.has(event.run)) this.#handlers.set(event.run, event.node);
    else if (event.type === "handler-end") this.#handlers.delete(event.run);
  }

  toString(): string {
    const busy = new Set(this.#handlers.values());
    return [...this.#state]
      .map(([name, state]) => (state !== "+" ? state : busy.has(name) ? "H" : name === this.#leader ? "L" : "+"))
      .join("");
  }
}

const quoted = (task: string): string => `"${task}"`;

/** One event in words. `effects`: how many of this task happened before. */
function words(event: HistoryEvent, effects: number): string {
  switch (event.type) {
    case "produced":
      return `log: record ${event.partition}:${event.offset} is task ${quoted(event.taskId)}`;
    case "fault":
      return `FAULT ${event.kind}${event.node === "" ? "" : ` ${event.node}`}${tail(event.detail)}`;
    case "heal":
      return `heals ${event.kind}${event.node === "" ? "" : ` ${event.node}`}${tail(event.detail)}`;
    case "quiet":
      return "no more faults from here on";
    case "process":
      return `${event.node}: process ${event.pid} ${event.what}${tail(event.detail)}`;
    case "handler-start": {
      const token = `token ${event.epoch}.${event.stamp}`;
      const record = `record ${event.partition}:${event.offset}`;
      return `${event.node}: STARTS ${quoted(event.taskId)}, run ${event.run}, ${record}, ${token}, attempt ${event.attempt}`;
    }
    case "effect":
      return `EFFECT of ${quoted(event.taskId)} by run ${event.run}${effects === 0 ? "" : `: its ${effects + 1}. effect`}`;
    case "handler-end":
      return `run ${event.run} ends: ${event.outcome}`;
    case "check-start":
      return `${event.node}: checks ${quoted(event.taskId)} for record ${event.partition}:${event.offset} (check ${event.check})`;
    case "check-end":
      return `check ${event.check} says ${event.answer}; in truth ${event.truth ? "executed" : "not executed"} at that moment`;
    case "set-aside":
      return `${event.node}: ${event.kind} ${quoted(event.taskId)}, record ${event.partition}:${event.offset} (${event.reason})`;
    case "committed": {
      const who = event.node === "" ? "another client" : event.node;
      return `${who}: commits partition ${event.partition} at ${event.position}, was ${event.before ?? "nothing"}`;
    }
    case "alarm":
      return `${event.node}: alarm ${event.code}${event.partition >= 0 ? ` in partition ${event.partition}` : ""}: ${event.message}`;
    case "role":
      return `${event.node}: ${event.role}, epoch ${event.epoch}`;
    case "leads":
      return `${event.node}: LEADS epoch ${event.epoch}`;
    case "note":
      return `${event.node}: ${event.message}`;
    case "violation":
      return `VIOLATION ${saying(event)}`;
  }
}

/** A message may begin with its invariant already. */
function saying({ invariant, message }: { readonly invariant: string; readonly message: string }): string {
  return message.startsWith(`${invariant}: `) ? message : `${invariant}: ${message}`;
}

const tail = (detail: string): string => (detail === "" ? "" : ` (${detail})`);

/** Lines of the story, without line ends. `full`: every event, also those that have nothing to do with the violation. */
export function story(result: SeedResult, full: boolean): string[] {
  const events = result.history ?? [];
  const subject = subjectOf(result, events);
  const strip = new Strip(events);
  const effects = new Map<string, number>();
  const lines = [
    `seed ${result.seed}: ${result.nodes} nodes, ${result.tasks} tasks, ${(result.virtualMs / 1_000).toFixed(1)} s, log ${result.hash}`,
    `settings ${JSON.stringify(result.settings)}`,
    ...result.plan.map((fault) => `fault    ${fault}`),
    `nodes    ${strip.names} (${LEGEND})`,
    subject.tasks.size === 0
      ? "about    no task that the violation names (--full tells everything)"
      : `about    ${[...subject.tasks].map(quoted).join(", ")}`,
    "",
  ];
  const head = lines.length;
  let told = false;
  for (const event of events) {
    strip.take(event, subject);
    if (full || concerns(event, subject)) {
      const seen = event.type === "effect" ? (effects.get(event.taskId) ?? 0) : 0;
      lines.push(`${(event.at / 1_000).toFixed(4).padStart(10)}  ${strip.toString()}  ${words(event, seen)}`);
    }
    if (event.type === "effect") effects.set(event.taskId, (effects.get(event.taskId) ?? 0) + 1);
    if (event.type === "violation") told = true;
  }
  const { violation } = result;
  if (violation !== null && !told) {
    const at = (violation.at / 1_000).toFixed(4).padStart(10);
    lines.push(`${at}  ${strip.toString()}  VIOLATION ${saying(violation)}`);
  }
  if (violation === null) lines.push("no invariant was violated");
  if (lines.length <= LINES_MAX) return lines;
  const cut = lines.length - LINES_MAX;
  const half = Math.floor(LINES_MAX / 2);
  return [...lines.slice(0, head + half), `... ${cut} lines ...`, ...lines.slice(head + half + cut)];
}
