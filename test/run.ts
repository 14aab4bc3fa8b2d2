/**
 * Runs the tests in groups and counts them from Bun's own reports: `bun run test/run.ts [fast|slow|examples|executable|servers|requirements]...`
 * (default: all). Each group is one `bun test` process with a time limit of its own, so that a test that hangs ends the
 * group and not the run. Ends with the line "N passed, N failed"; a file that no report names counts as a failure.
 */
import { Glob } from "bun";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Group {
  readonly name: string;
  readonly limitMs: number;
  readonly flags: readonly string[];
  /** Which test files are of this group; the first group that takes a file has it. */
  readonly takes: (file: string) => boolean;
}

const GROUPS: readonly Group[] = [
  {
    name: "requirements",
    limitMs: 12 * 60_000,
    // They mostly wait. Each of the two processes has servers of its own, for all of its files.
    flags: ["--timeout=120000", "--parallel=2", "--no-isolate"],
    takes: (file) => file.startsWith("test/requirements/"),
  },
  {
    name: "servers", // real Kafka and ZooKeeper
    limitMs: 12 * 60_000,
    flags: ["--timeout=60000"],
    takes: (file) =>
      /kafka|zookeeper|support\/servers|^test\/any-cluster\//.test(file) && !/scripted|^test\/simulation\//.test(file),
  },
  {
    name: "executable", // built, packed and installed; needs npm's registry
    limitMs: 5 * 60_000,
    flags: ["--timeout=60000"],
    takes: (file) => file.startsWith("test/executable/"),
  },
  {
    name: "examples", // each example's README, followed with several node processes
    limitMs: 6 * 60_000,
    flags: ["--timeout=60000"],
    takes: (file) => /^test\/examples\/.*\.slow\./.test(file),
  },
  {
    name: "slow", // no servers, but processes, big models or many keys
    limitMs: 6 * 60_000,
    flags: ["--timeout=60000"],
    takes: (file) =>
      /\.slow\.test\.ts$|accuracy|test\/cli\/(demo|run|cli|bad-)|test\/mutations|several-processes|conformance/.test(
        file,
      ),
  },
  { name: "fast", limitMs: 4 * 60_000, flags: ["--parallel=2", "--timeout=15000"], takes: () => true },
];

/** In this order they run: what fails fast comes first. */
const ORDER = ["fast", "slow", "examples", "executable", "servers", "requirements"];

interface Count {
  readonly passed: number;
  readonly failed: number;
}

const files = [...new Glob("test/**/*.test.ts").scanSync(".")].sort();
const byGroup = new Map<string, string[]>(GROUPS.map((group) => [group.name, []]));
for (const file of files) byGroup.get(GROUPS.find((group) => group.takes(file))!.name)!.push(file);

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !ORDER.includes(name));
if (unknown.length > 0) {
  console.error(`unknown test group ${unknown.join(", ")}; expected some of ${ORDER.join(", ")}`);
  process.exit(2);
}

let passed = 0;
let failed = 0;
for (const name of ORDER) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const began = performance.now();
  const count = await runGroup(
    GROUPS.find((group) => group.name === name)!,
    byGroup.get(name)!,
  );
  passed += count.passed;
  failed += count.failed;
  console.log(
    `[${name}] ${count.passed} passed, ${count.failed} failed in ${((performance.now() - began) / 1_000).toFixed(1)} s`,
  );
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

async function runGroup(group: Group, members: readonly string[]): Promise<Count> {
  if (members.length === 0) return { passed: 0, failed: 0 };
  const folder = await mkdtemp(join(tmpdir(), "vouch-tests-"));
  const report = join(folder, "junit.xml");
  const child = Bun.spawn(
    [
      process.execPath,
      "test",
      ...group.flags,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...members.map((file) => `./${file}`),
    ],
    { stdout: "inherit", stderr: "inherit", stdin: "ignore" },
  );
  const timer = setTimeout(() => {
    console.error(`[${group.name}] not done after ${group.limitMs / 1_000} s: ended`);
    child.kill("SIGKILL");
  }, group.limitMs);
  const code = await child.exited;
  clearTimeout(timer);
  const xml = await readFile(report, "utf8").catch(() => "");
  await rm(folder, { recursive: true, force: true });
  return judge(group, members, xml, code);
}

/** A non-zero exit without a failure in the report, and each file that the report lacks, count as failures. */
function judge(group: Group, members: readonly string[], xml: string, code: number | null): Count {
  const cases = (xml.match(/<testcase\b/g) ?? []).length;
  let failures = (xml.match(/<failure\b/g) ?? []).length;
  const skipped = (xml.match(/<skipped\b/g) ?? []).length;
  const missing = members.filter((file) => !xml.includes(`"${file}"`));
  for (const file of missing) console.error(`[${group.name}] not in the report: ${file}`);
  if (skipped > 0) console.error(`[${group.name}] ${skipped} tests were skipped: counted as failures`);
  const counted = Math.max(0, cases - failures - skipped);
  failures += missing.length + skipped;
  if (code !== 0 && failures === 0) {
    console.error(`[${group.name}] bun test ended with ${code}, and the report names no failure`);
    failures++;
  }
  return { passed: counted, failed: failures };
}
