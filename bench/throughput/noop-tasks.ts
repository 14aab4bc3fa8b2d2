/** Tasks that do nothing: what is left is what the cell costs. `BENCH_HANDLER=async` returns a promise for each. */
import { defineTasks } from "../../src/index.ts";
import { Meter } from "./meter.ts";
import { BENCH_TOPIC } from "./topic.ts";

const meter = new Meter(Number(process.env["BENCH_RESIDENT_EVERY"] ?? 0));
const isAsync = process.env["BENCH_HANDLER"] === "async";

export default defineTasks({
  topic: BENCH_TOPIC,
  // Without a check a node claims no more than it can start at once, and each claim is a round trip.
  check: () => "unknown",
  onUnknown: "park",
  execute: isAsync
    ? async () => {
        meter.count(1);
      }
    : () => {
        meter.count(1);
      },
});
