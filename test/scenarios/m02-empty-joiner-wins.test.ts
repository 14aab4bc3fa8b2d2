import { expect, test } from "bun:test";
import {
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  isChunk,
  LEASE_MS,
  loses,
  losesNothing,
  SESSION_MS,
  stage,
  untilState,
} from "./stage.ts";

test("M2: a joiner without any state wins the election; it takes the state of the last set before it votes", () => {
  const cell = stage();
  cell.produceMany(0, 20);
  cell.drain();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing", 20);
  loses(cell, isChunk, { to: "empty" });
  cell.start("empty");
  cell.advance(500);
  expect(cell.inSync.incarnations).not.toContain(cell.node("empty").incarnation);
  expect(entryAt(cell, "empty", 20)).toBe("none");

  cell.mayLead = (name) => name === "empty";
  cell.crash("leader");
  losesNothing(cell);
  const diedAt = cell.now;
  cell.until("it leads", () => cell.activeLeader() !== null);
  expect(cell.activeLeader()!.name).toBe("empty");
  expect(cell.now - diedAt).toBeGreaterThan(SESSION_MS + LEASE_MS); // members of the last set go first
  expect(entryAt(cell, "empty", 20)).toMatch(/(granted to|executing at) owner/);
  expect(cell.node("empty").core.replica.watermarkRows()).toEqual([{ pid: 0, from: 0, watermark: 20 }]);
  hangsNoMore(cell);
  cell.end(cell.runsOf(0, 20)[0]!, "success");
  ended(cell, { runs: 21, checks: 0 });
});
