/** A sink that refuses old tokens: no run can write after a newer one was allowed to begin, however late it wakes up. */
import { Database } from "bun:sqlite";
import { defineTasks, OutcomeUnknown } from "vouch";

interface Move {
  readonly item: string;
  readonly pieces: number;
}

const sink = new Database(process.env["SINK_FILE"] ?? "sink.sqlite", { create: true, strict: true });
sink.run("PRAGMA busy_timeout = 5000");
sink.run("PRAGMA journal_mode = WAL");
sink.run("PRAGMA synchronous = NORMAL"); // no fsync a write: bun:sqlite blocks the event loop, and with it the node
sink.run("CREATE TABLE IF NOT EXISTS moves (task TEXT PRIMARY KEY, token TEXT NOT NULL, item TEXT, pieces INTEGER)");
sink.run("CREATE TABLE IF NOT EXISTS refusals (task TEXT NOT NULL, token TEXT NOT NULL)");

// One statement each, so nothing comes between the comparison and the write. Tokens as texts compare as tokens do.
const write = sink.query(`
  INSERT INTO moves (task, token, item, pieces) VALUES ($task, $token, $item, $pieces)
  ON CONFLICT (task) DO UPDATE SET token = $token, item = $item, pieces = $pieces
    WHERE moves.token <= $token AND moves.pieces IS NULL`);
const fence = sink.query<{ pieces: number | null }, { task: string; token: string }>(`
  INSERT INTO moves (task, token) VALUES ($task, $token)
  ON CONFLICT (task) DO UPDATE SET token = max(token, $token)
  RETURNING pieces`);
const refuse = sink.query("INSERT INTO refusals (task, token) VALUES ($task, $token)");

export default defineTasks<Move>({
  topic: "moves",

  async execute(task, { token }) {
    const { item, pieces } = task.payload;
    const mine = { task: task.id, token: token.toString() };
    await Bun.sleep(100); // the work; the process may be stopped here for an hour
    if (write.run({ ...mine, item, pieces }).changes === 1) return;
    refuse.run(mine);
    throw new OutcomeUnknown(`the sink knows a newer token than ${mine.token}`); // the task is another run's by now
  },

  // The check leaves its token behind: from here on an earlier run is refused, so "not executed" stays true. The run that
  // follows a check has the token of the check.
  check(task, { token }) {
    const row = fence.get({ task: task.id, token: token.toString() });
    return row !== null && row.pieces !== null ? "executed" : "not-executed";
  },

  onUnknown: "park",
});
