/** `report.ts [moves] [refusals]`: what is in the sink, as soon as there are so many of both. */
import { Database } from "bun:sqlite";

const [moves = 0, refusals = 0] = process.argv.slice(2).map(Number);
const sink = new Database(process.env["SINK_FILE"] ?? "sink.sqlite", { create: true });
sink.run("PRAGMA busy_timeout = 5000");
const exists = sink.query("SELECT count(*) AS tables FROM sqlite_master WHERE name = 'refusals'");
while ((exists.get() as { tables: number }).tables === 0) await Bun.sleep(20);

interface Row {
  readonly moved: number;
  readonly pieces: number;
  readonly refused: number;
}
const count = sink.query<Row, []>(`
  SELECT count(pieces) AS moved, coalesce(sum(pieces), 0) AS pieces, (SELECT count(*) FROM refusals) AS refused FROM moves`);
const now = (): Row => count.get() ?? { moved: 0, pieces: 0, refused: 0 };
for (let row = now(); row.moved < moves || row.refused < refusals; row = now()) await Bun.sleep(20);

const { moved, pieces, refused } = now();
const rows: [string, number][] = [
  ["moves", moved],
  ["pieces", pieces],
  ["writes refused: an old token", refused],
];
console.log(rows.map(([name, value]) => `${name.padEnd(34)}${String(value).padStart(10)}`).join("\n"));
