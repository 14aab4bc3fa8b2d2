/** M10 on processes: a member of the in-sync set that stands still holds every verdict up, and the leader says so. */
import { expect, test } from "bun:test";
import { ProcessCell } from "../support/process-cell.ts";

test("M10: a member stands still under load: the leader alarms and names it, before and until it is out of the set", async () => {
  await using cell = await ProcessCell.open({
    name: "slow",
    nodes: 3,
    partitions: 3,
    options: { verdictAlarmMs: 200, inSyncEvictionMs: 2_500 },
  });
  const leader = await cell.leader();
  const member = cell.nodes.find((node) => node !== leader)!;
  const partition = (await leader.status())!.core.partitions[0]!.pid % 65_536;
  member.pause();
  try {
    for (let i = 0; i < 20; i++) await cell.produce([{ partition, id: `t${i}` }]);
    await cell.waitFor("the alarm", () => leader.log().includes('"alarm":"verdicts"'));
    const line = leader
      .log()
      .split("\n")
      .find((each) => each.includes('"alarm":"verdicts"'))!;
    const { level, message } = JSON.parse(line) as { level: string; message: string };
    expect(level).toBe("error");
    expect(message).toMatch(
      /^no verdict for \d\.\d s \(alarm at 0\.2 s\): each waits for the leader and for the slowest/,
    );
    expect(message).toMatch(new RegExp(`now ${member.name}, which is \\d+ changes? behind`));
    await cell.waitFor("it is over", () => leader.log().includes('"over":true'));
    expect(leader.log()).toContain("verdicts come within 0.2 s again");
    const text = await (await fetch(`${leader.url}/metrics`)).text();
    expect(text).toContain('vouch_alarm{alarm="verdicts"} 0');
  } finally {
    member.continue();
  }
}, 120_000);
