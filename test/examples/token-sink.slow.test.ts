/** examples/token-sink, as its README tells; and its two statements by hand. */
import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { followReadme, lastReport, ROOT } from "./follow-readme.ts";

const MOVES = 3_000;

test("G3: token-sink: one node falls asleep at work and one dies; what wakes up with an old token is refused", async () => {
  await using run = await followReadme("token-sink", [`default ${MOVES}`]);
  expect({ code: run.code, err: run.err }).toMatchObject({ code: 0 });
  expect(run.leftOver).toBe(false);
  const report = lastReport(run.out, "moves");
  expect(report).toMatchObject({ moves: MOVES, pieces: (MOVES * (MOVES + 1)) / 2 }); // 0 lost, and each as it was asked for
  expect(report["writes refused: an old token"]).toBeGreaterThan(0);

  // Each refused write was one that another run, with a newer token, made.
  const [data] = await readdir(run.folder);
  const sink = new Database(join(run.folder, data!, "sink.sqlite"));
  const refused = sink
    .query("SELECT r.token AS old, m.token AS new, m.pieces FROM refusals r JOIN moves m USING (task)")
    .all() as { old: string; new: string; pieces: number | null }[];
  sink.close();
  expect(refused.length).toBeGreaterThan(0);
  for (const row of refused) {
    expect(row.new > row.old).toBe(true);
    expect(row.pieces).not.toBeNull();
  }
}, 150_000);

test("G3: token-sink: a run whose token is older than a check's cannot write, the one that follows the check can", async () => {
  const folder = await mkdtemp(join(tmpdir(), "vouch-token-sink-"));
  const byHand = `
    import { FencingToken } from "vouch";
    import tasks from "./examples/token-sink/tasks.ts";
    const task = { id: "move-1", payload: { item: "bolt", pieces: 7 } };
    const at = (sequence, epoch = 1) => ({ token: new FencingToken(epoch, sequence) });
    const run = async (context) => { try { await tasks.execute(task, context); return "written"; } catch (error) { return error.name; } };
    console.log(JSON.stringify([
      await tasks.check(task, at(9)),     // looks, and leaves its token
      await run(at(8)),                   // asleep since before the check
      await run(at(1_000_000, 0)),        // of an older epoch, however high its sequence
      await tasks.check(task, at(10)),    // still not done
      await run(at(10)),                  // the run that follows that check
      await run(at(11)),                  // never twice, whatever the token
      await tasks.check(task, at(12)),
    ]));
  `;
  const env = { ...process.env, SINK_FILE: join(folder, "sink.sqlite") };
  const child = Bun.spawn([process.execPath, "-e", byHand], { cwd: ROOT, env, stdout: "pipe", stderr: "inherit" });
  const answers = JSON.parse(await new Response(child.stdout).text()) as string[];
  await rm(folder, { recursive: true, force: true });
  expect(answers).toEqual([
    "not-executed",
    "OutcomeUnknown",
    "OutcomeUnknown",
    "not-executed",
    "written",
    "OutcomeUnknown",
    "executed",
  ]);
});
