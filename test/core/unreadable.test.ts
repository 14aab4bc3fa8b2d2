/** A place that the task log cannot give: what stands before it is done, nothing behind it is read. */
import { expect, test } from "bun:test";
import { OneMember } from "./one-member.ts";

const unreadable = { type: "partition-problem", pid: 0, problem: "unreadable" } as const;

test("what was delivered before an unreadable place is executed and committed; the partition is not read again", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 2);
  member.step(unreadable); // at once resumed: what was delivered may have been given back
  member.tick(1);
  expect(member.last("resume").pid).toBe(0);
  member.step(unreadable);
  expect(member.last("alarm")).toMatchObject({ code: "unreadable" });
  expect(member.last("alarm").message).toContain("reads no further: the task log cannot be read from offset 2 on");
  expect(member.core.status(member.now).partitions[0]?.stopped).toContain("cannot be read from offset 2 on");

  member.answerClaim();
  expect(member.started).toEqual([0, 1]);
  const before = member.effects.filter(({ type }) => type === "resume").length;
  member.end(0, "success");
  member.end(1, "success");
  member.tick(1_000);
  expect(member.last("commit").commits[0]?.position).toBe(2);
  member.commitDone();
  for (let i = 0; i < 20; i++) {
    member.acknowledge();
    member.tick(100);
  }
  expect(member.effects.filter(({ type }) => type === "resume").length).toBe(before);
});

test("an unreadable place found further on counts from there", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 2);
  member.step(unreadable);
  member.tick(1);
  member.deliver(2, 2); // had been given back
  member.step(unreadable);
  expect(member.core.status(member.now).partitions[0]?.stopped).toBe("");
  member.tick(1);
  member.step(unreadable);
  expect(member.core.status(member.now).partitions[0]?.stopped).toContain("from offset 4 on");
});
