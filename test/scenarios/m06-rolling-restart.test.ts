import { expect, test } from "bun:test";
import { ended, stage } from "./stage.ts";

test("M6: nodes are replaced one after the other under load, each when the last is in the set; nothing is checked", () => {
  const cell = stage({ partitions: 3, handlerMs: 30 });
  const load = (ms: number) => {
    for (const end = cell.now + ms; cell.now < end; cell.advance(50))
      for (let partition = 0; partition < 3; partition++) cell.produce(partition);
  };
  for (const name of ["owner", "leader", "other"]) {
    load(500);
    const leaver = cell.node(name);
    cell.drainNode(name);
    for (let i = 0; i < 200 && leaver.stoppedReason === ""; i++) load(100);
    expect(leaver.stoppedReason).toBe("drained");
    const { incarnation } = cell.start(name);
    for (let i = 0; i < 200 && !cell.inSync.incarnations.includes(incarnation); i++) load(100);
    expect(cell.inSync.incarnations).toHaveLength(3);
  }
  ended(cell, { checks: 0 });
  expect(cell.runs.length).toBe(cell.log.reduce((sum, records) => sum + records.length, 0));
});
