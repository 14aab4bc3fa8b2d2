/** examples/webhooks, as its README tells. */
import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { followReadme, lastReport } from "./follow-readme.ts";

const SHOP = 1_400;
const MOVED = 10;
const OLD = 600;
const CONCURRENCY = 10;

test("webhooks: a node dies at work, nothing is lost or taken twice, and what was set aside says why", async () => {
  await using run = await followReadme("webhooks", [`default ${SHOP + MOVED + OLD}`, "aside all"]);
  expect({ code: run.code, err: run.err }).toMatchObject({ code: 0 });
  expect(run.leftOver).toBe(false);
  const [data] = await readdir(run.folder);
  const linesOf = async (name: string): Promise<string[]> =>
    (await readFile(join(run.folder, data!, name), "utf8")).split("\n").filter((line) => line !== "");
  const aside = (await linesOf("aside.ndjson")).map(
    (line) => JSON.parse(line) as { topic: string; id: string; reason: string; attempts: string; error: string | null },
  );
  const dead = aside.filter(({ topic }) => topic === "webhooks.dead");
  const parked = aside.filter(({ topic }) => topic === "webhooks-blind.parked");
  const report = lastReport(run.out, "events taken by the shop");
  const late = report["taken, but answered too late"]!;

  expect(report).toMatchObject({ "events taken by the shop": SHOP, "taken twice": 0 });
  expect(report["refused for a moment"]).toBeGreaterThan(0); // and taken later, or lost
  expect(report["look-ups: taken"]! + parked.length).toBeGreaterThan(late); // the node died at work

  // 404: dead at its first attempt, with the answer.
  expect(dead.map(({ id }) => id).sort()).toEqual(Array.from({ length: MOVED }, (_, i) => `moved-${i + 1}`).sort());
  const why = { reason: "failed-for-good", attempts: "1", error: "404 nobody lives here" };
  for (const letter of dead) expect(letter).toMatchObject(why);

  // No look-up: each was taken once, or is parked, or both.
  expect(aside).toHaveLength(dead.length + parked.length);
  const settled = new Set([...(await linesOf("inbox.txt")), ...parked.map(({ id }) => id)]);
  expect([...settled].filter((id) => id.startsWith("old-"))).toHaveLength(OLD);
  expect(new Set(parked.map(({ id }) => id)).size).toBe(parked.length);
  expect(parked.length).toBeLessThanOrEqual(late + 3 * CONCURRENCY);
}, 120_000);
