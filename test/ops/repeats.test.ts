import { expect, test } from "bun:test";
import { Repeats } from "../../src/ops/repeats.ts";

function make(): { pass: (text: string) => number | null; wait: (ms: number) => void } {
  let now = 0;
  const repeats = new Repeats(() => now, 1_000);
  return { pass: (text) => repeats.pass(text), wait: (ms) => void (now += ms) };
}

test("the first one passes, then one in each interval, which says how many were held back", () => {
  const { pass, wait } = make();
  expect([pass("a"), pass("a"), pass("b"), pass("a")]).toEqual([0, null, 0, null]);
  wait(999);
  expect(pass("a")).toBeNull();
  wait(1);
  expect([pass("a"), pass("a"), pass("b")]).toEqual([3, null, 0]);
});

test("the number of a try makes no other text of it", () => {
  const { pass } = make();
  expect([pass("x: refused (try 1)"), pass("x: refused (try 2; trying again)"), pass("x: reset (try 3)")]).toEqual([
    0,
    null,
    0,
  ]);
});

test("nor does an amount, which a stranger may choose; an address does", () => {
  const { pass } = make();
  expect([pass("a frame of 17 bytes"), pass("a frame of 4711 bytes")]).toEqual([0, null]);
  const [one, other] = ["Kafka 127.0.0.1:9092: gone", "Kafka 127.0.0.1:9093: gone"];
  expect([pass(one), pass(other), pass("Kafka broker-1:1: gone"), pass("Kafka broker-2:1: gone")]).toEqual([
    0, 0, 0, 0,
  ]);
});

test("it remembers a bounded number of texts", () => {
  const { pass } = make();
  for (let i = 0; i < 10_000; i++) expect(pass(`text-${i}`)).toBe(0);
  expect(pass("text-0")).toBe(0);
  expect(pass("text-9999")).toBeNull();
});
