/** examples/emails, as its README tells. */
import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { followReadme, lastReport } from "./follow-readme.ts";

const MAILS = 2_000;
const CONCURRENCY = 10;

test("emails: a node dies at work, what may have been sent is parked, and a person gets the rest sent", async () => {
  const environment = { LOG_EVERY_MS: "300" }; // the waits are shorter than a person's, so the log is less far behind
  await using run = await followReadme("emails", [`default ${MAILS}`, "review all"], { environment });
  expect({ code: run.code, err: run.err }).toMatchObject({ code: 0 });
  expect(run.leftOver).toBe(false);
  const [data] = await readdir(run.folder);
  const linesOf = async (name: string): Promise<string[]> =>
    (await readFile(join(run.folder, data!, name), "utf8")).split("\n").filter((line) => line !== "");
  const listed = (await linesOf("review.ndjson")).map(
    (line) => JSON.parse(line) as { id: string; headers: { reason: string }; value: { to: string } },
  );
  const parked = listed.map(({ value }) => value.to);
  const sent = new Set(await linesOf("sent.txt"));

  // Each mail was sent, or is parked for a person; nobody was reached twice.
  const unsent = Array.from({ length: MAILS }, (_, i) => `user-${i + 1}@example.org`).filter((to) => !sent.has(to));
  for (const to of unsent) expect(parked).toContain(to);
  const before = lastReport(
    run.out.slice(0, run.out.indexOf("\n", run.out.lastIndexOf("cell default"))),
    "mailboxes reached",
  );
  expect(before["reached twice"]).toBe(0);
  expect(new Set(parked).size).toBe(parked.length);
  expect(new Set(listed.map(({ headers }) => headers.reason))).toEqual(new Set(["unknown"]));

  // What is parked is what may have been sent: what the node was running, one more, and what it had not told yet; and
  // what was answered too late.
  const report = lastReport(run.out, "mailboxes reached");
  const late = report["sent, but answered too late"]!;
  expect(parked.length).toBeGreaterThanOrEqual(late + report["clients gone before their answer"]!);
  expect(parked.length).toBeGreaterThan(late); // the node died at work
  expect(parked.length).toBeLessThanOrEqual(late + 3 * CONCURRENCY);

  // The person sent the rest again: everybody was reached, nobody twice.
  expect(report).toMatchObject({ "mailboxes reached": MAILS, "reached twice": 0 });
}, 120_000);
