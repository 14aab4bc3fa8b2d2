/**
 * `bun run mutations --json [--limit SEEDS] [id or rule...]`: plugs each seeded bug of `list.ts` into the simulator, which runs its ordinary swarm from
 * seed 0 until an invariant is violated. What the models must find is left to the models' own tests of the missing rule.
 *
 * A crash, a hang or an error of a checker finds nothing, and neither does a seed that also fails on the sources as they are. The last
 * line with `--json` is `{ mutations, found, missed, seconds }`; exit code 1 when one was missed. `--table` writes
 * `docs/simulation/mutations.md`.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { commitOf } from "../commit.ts";
import { runJobs, startPool } from "../pool.ts";
import { candidates, seededBugs, type ModelMutation, type SeededBug, type SimulatorMutation } from "./list.ts";
import { tableOf, type Finding } from "./table.ts";

const ROOT = join(import.meta.dir, "..", "..", "..");
const TABLE = "docs/simulation/mutations.md";
/** Bugs that are looked for at the same time; each has one worker, so that seeds come in their order. */
const AT_ONCE = 2;
const SEED_MS_MAX = 60_000;
/** A bug under which so many seeds crash or hang is none that an invariant can find. */
const LOST_MAX = 20;
const MODEL_MS_MAX = 120_000;
/** Ids of failures that no invariant found. */
const NO_FINDING: ReadonlySet<string> = new Set(["crash", "hang", "checker", "X4"]);

interface Search {
  readonly seed: number; // where it ended
  readonly invariant: string; // "" when nothing was found
  readonly message: string;
  readonly lost: readonly string[]; // crashes and hangs on the way
}

/** The next seed at or above `from` that violates something, or nothing within the bug's limit. */
async function search(bug: SimulatorMutation, from: number): Promise<Search> {
  let next = from;
  let found: Search | null = null;
  const lost: string[] = [];
  const take = (seed: number, invariant: string, message: string): void => {
    if (found !== null) return;
    if (NO_FINDING.has(invariant)) {
      lost.push(`${invariant} at seed ${seed}: ${message.split("\n", 1)[0]}`);
      if (lost.length >= LOST_MAX) pool.stop();
      return;
    }
    found = { seed, invariant, message, lost };
    pool.stop();
  };
  const pool = startPool({
    workers: 1,
    seedMsMax: SEED_MS_MAX,
    twiceEvery: 0,
    mutation: bug.id,
    next: () => (next < bug.seeds ? { seed: next++, options: {} } : null),
    onResult: ({ seed, violation }) => {
      if (violation !== null) take(seed, violation.invariant, violation.message);
    },
    onFailure: ({ seed, invariant, message }) => take(seed, invariant, message),
  });
  await pool.finished;
  return found ?? { seed: next, invariant: "", message: "", lost };
}

/** Whether a seed violates nothing on the sources as they are; asked once a seed. */
class Unmutated {
  readonly #clean = new Map<number, Promise<boolean>>();

  isClean(seed: number): Promise<boolean> {
    let clean = this.#clean.get(seed);
    if (clean === undefined) {
      clean = runJobs([{ seed, options: {} }], { workers: 1, seedMsMax: SEED_MS_MAX, twiceEvery: 0 }).then(
        ([outcome]) => outcome !== undefined && "result" in outcome && outcome.result.violation === null,
      );
      this.#clean.set(seed, clean);
    }
    return clean;
  }
}

async function findBySimulator(bug: SimulatorMutation, unmutated: Unmutated): Promise<Finding> {
  let from = 0;
  const lost: string[] = [];
  while (from < bug.seeds) {
    const found = await search(bug, from);
    lost.push(...found.lost);
    if (found.invariant === "") break;
    if (await unmutated.isClean(found.seed)) {
      const { seed, invariant, message } = found;
      return { bug, invariant, seeds: seed + 1, message: message.split("\n", 1)[0] ?? "" };
    }
    from = found.seed + 1;
  }
  const why = lost.length > 0 ? `; ${lost.length} lost, first: ${lost[0]}` : "";
  return { bug, invariant: "", seeds: bug.seeds, message: `not found in ${bug.seeds} seeds${why}` };
}

/** Without the rule the model has its counterexample: its own test says so. */
async function findByModel(bug: ModelMutation): Promise<Finding> {
  const name = `${bug.title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`; // after the name of its group
  const child = Bun.spawn([process.execPath, "test", `./${bug.test}`, "-t", name], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), MODEL_MS_MAX);
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  clearTimeout(timer);
  const passed = code === 0 && /^ 1 pass$/m.test(out + err);
  if (passed) return { bug, invariant: "counterexample", seeds: 0, message: bug.title };
  return { bug, invariant: "", seeds: 0, message: `the model's test did not show it: ${(out + err).slice(-300)}` };
}

async function findAll(bugs: readonly SeededBug[], say: (finding: Finding) => void): Promise<Finding[]> {
  const unmutated = new Unmutated();
  const findings = new Map<string, Finding>();
  const left = [...bugs];
  const work = async (): Promise<void> => {
    for (let bug = left.shift(); bug !== undefined; bug = left.shift()) {
      const finding = bug.finder === "model" ? await findByModel(bug) : await findBySimulator(bug, unmutated);
      findings.set(bug.id, finding);
      say(finding);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return bugs.map(({ id }) => findings.get(id)!);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      table: { type: "boolean", default: false },
      candidates: { type: "boolean", default: false }, // those that nothing is known to find
      limit: { type: "string" }, // seeds a bug at most, for a quick look
    },
  });
  const startedAt = performance.now();
  const list = values.candidates ? candidates : seededBugs;
  const known = new Set(list.flatMap(({ id, rule }) => [id, rule]));
  const unknown = positionals.filter((name) => !known.has(name));
  if (unknown.length > 0 || (values.table && (positionals.length > 0 || values.candidates))) {
    console.error(unknown.length > 0 ? `no such mutation: ${unknown.join(", ")}` : "--table takes all mutations");
    return 2;
  }
  const limit = Number(values.limit ?? Infinity);
  const chosen = list
    .filter(({ id, rule }) => positionals.length === 0 || positionals.includes(id) || positionals.includes(rule))
    .map((bug) => (bug.finder === "simulator" ? { ...bug, seeds: Math.min(bug.seeds, limit) } : bug));
  const findings = await findAll(chosen, ({ bug, invariant, seeds, message }) => {
    const where = bug.finder === "model" ? "model" : `seed ${seeds - 1}`;
    console.error(`${invariant === "" ? "MISSED" : "found "} ${bug.id.padEnd(26)} ${where}  ${invariant}  ${message}`);
  });
  const missed = findings.filter(({ invariant }) => invariant === "").map(({ bug }) => bug.id);
  if (values.table) await Bun.write(join(ROOT, TABLE), tableOf(findings, await commitOf()));
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  const summary = { mutations: findings.length, found: findings.length - missed.length, missed, seconds };
  process.stdout.write(`${values.json ? JSON.stringify(summary) : JSON.stringify(summary, null, 2)}\n`);
  return missed.length === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
