import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, isVerdict, loses, losesNothing, stage, untilState } from "./stage.ts";

test("B11: the next leader dies in its activation; the one after it has a higher epoch and the last written set", () => {
  const cell = stage({ spares: ["spare"] });
  hangs(cell, 0);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  loses(cell, isVerdict);
  cell.produce(0);
  untilState(cell, "owner", "asked", 1);

  const { version } = cell.inSync;
  cell.mayLead = (name) => name === "other";
  cell.crash("leader");
  cell.until("activating", () => cell.node("other").core.role === "activating");
  cell.advance(4);
  expect(cell.node("other").core.role).toBe("activating");
  expect(cell.inSync.version).toBe(version);
  cell.crash("other");
  losesNothing(cell);
  cell.mayLead = () => true;
  cell.until("a third leads", () => cell.activeLeader() !== null);
  expect(cell.activeLeader()!.core.epoch).toBe(3);
  hangsNoMore(cell);
  cell.end(cell.runs[0]!, "success");
  ended(cell, { runs: 2, checks: 0 });
});
