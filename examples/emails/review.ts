/**
 * For the person who decides: writes what was parked into a file, one line each, as `produce` reads it. The new id is the
 * point: under the old one the cell would find the same doubt again, and park it again.
 */
import { appendFileSync } from "node:fs";
import { defineTasks } from "vouch";

const file = process.env["REVIEW_FILE"] ?? "review.ndjson";

export default defineTasks({
  topic: "emails.parked",
  taskId: { header: "vouch-origin" }, // a record that was parked twice (a crash between write and commit) is listed once
  execute(task) {
    const why = { origin: task.header("vouch-origin") ?? "", reason: task.header("vouch-reason") ?? "" };
    const line = { id: `${task.header("task-id")}-again`, headers: why, value: task.payload };
    appendFileSync(file, `${JSON.stringify(line)}\n`);
  },
  onUnknown: "execute", // a line twice does no harm: its id is the same, so it would be sent once
});
