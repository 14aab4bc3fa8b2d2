import { expect, test } from "bun:test";
import { anotherLeads, counts, ended, SESSION_MS, stage, untilState } from "./stage.ts";

test("C11: followers reach the leader, the coordinator does not; it stops at its deadline, before another can lead", () => {
  const cell = stage();
  cell.cutCoordinator("leader");
  cell.advance((2 * SESSION_MS) / 3 + 10);
  const says = counts(cell, (message) => message.kind !== "delta" && message.kind !== "welcome", { from: "leader" });
  cell.produce(0);
  cell.advance(1_500);
  expect(says.count).toBe(0); // no verdict, no answered report, no watermark
  expect(cell.runs).toHaveLength(0);
  expect(cell.node("owner").core.role).toBe("suspended");
  expect(cell.epoch).toBe(1);

  expect(anotherLeads(cell)).not.toBe("leader");
  untilState(cell, "owner", "executed");
  cell.healCoordinator("leader");
  ended(cell, { runs: 1, checks: 0 });
});
