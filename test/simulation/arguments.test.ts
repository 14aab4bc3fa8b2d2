import { expect, test } from "bun:test";
import { commandFor, parseArguments } from "./arguments.ts";

test("without arguments: 200 seeds from 0 on two workers; with --minutes alone the clock ends it", () => {
  expect(parseArguments([])).toMatchObject({ seeds: 200, from: 0, minutes: Infinity, workers: 2, options: {} });
  expect(parseArguments(["--minutes", "3"])).toMatchObject({ seeds: Infinity, minutes: 3 });
});

test("what is wrong is said in words", () => {
  const wrong =
    (...argv: string[]) =>
    () =>
      parseArguments(argv);
  expect(wrong("--seeds", "many")).toThrow('--seeds: expected a whole number from 1, got "many"');
  expect(wrong("--minutes", "0")).toThrow('--minutes: expected a number above 0, got "0"');
  expect(wrong("--trace")).toThrow("need --seed");
  expect(wrong("--seed", "1", "--from", "2")).toThrow("stands alone");
  expect(wrong("--override", "[1]")).toThrow("expected a JSON object");
  expect(wrong("--sedes", "1")).toThrow();
});

test("the command that repeats a run means the same run", () => {
  const options = { overrides: { nodes: 2 }, faultsOnly: [1, 4], tasksMax: 7, without: ["I3"] };
  const command = commandFor(12, options, "r9-lease", "--trace");
  expect(command).toBe(
    `bun run simulate --seed 12 --override '{"nodes":2}' --faults 1,4 --tasks 7 --without I3 --mutation r9-lease --trace`,
  );
  const words = command
    .split(" ")
    .slice(3)
    .map((word) => word.replaceAll("'", ""));
  const again = parseArguments(words);
  expect(again.options).toEqual(options);
  expect(again).toMatchObject({ from: 12, seeds: 1, mutation: "r9-lease", trace: true });
  expect(parseArguments(["--seed", "1", "--faults", "none"]).options).toEqual({ faultsOnly: [] });
});
