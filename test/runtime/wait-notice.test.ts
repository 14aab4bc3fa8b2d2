import { expect, test } from "bun:test";
import { WaitNotice } from "../../src/runtime/wait-notice.ts";

test("what is waited for is told once, when it has stood for a while", () => {
  const notice = new WaitNotice();
  const told = [0, 500, 999, 1_000, 1_500, 90_000].map((now) => notice.look("another node", now));
  expect(told).toEqual(["", "", "", "another node", "", ""]);
});

test("what is soon over is not told, and the same wait later is a new one", () => {
  const notice = new WaitNotice();
  const looks: [string, number][] = [
    ["an election", 0],
    ["a link", 900],
    ["", 1_800],
    ["", 9_000],
    ["a link", 9_100],
    ["a link", 10_100],
    ["", 10_200],
    ["a link", 10_300],
    ["a link", 11_300],
  ];
  expect(looks.map(([text, now]) => notice.look(text, now))).toEqual(["", "", "", "", "", "a link", "", "", "a link"]);
});
