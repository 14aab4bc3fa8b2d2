/** What was set aside, for a person: one line each, with the reason, the attempts and the last error. */
import { appendFileSync } from "node:fs";
import { defineTasks } from "vouch";

const file = process.env["ASIDE_FILE"] ?? "aside.ndjson";

const list = (topic: string) =>
  defineTasks({
    topic,
    taskId: { header: "vouch-origin" }, // a record that was written twice is listed once
    execute(task) {
      const [id, reason, attempts, error] = ["task-id", "vouch-reason", "vouch-attempts", "vouch-error"].map((name) =>
        task.header(name),
      );
      appendFileSync(file, `${JSON.stringify({ topic, id, reason, attempts, error })}\n`);
    },
    onUnknown: "execute",
  });

export default ["webhooks.dead", "webhooks.parked", "webhooks-blind.dead", "webhooks-blind.parked"].map(list);
