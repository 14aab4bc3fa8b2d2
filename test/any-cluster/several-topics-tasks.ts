/** Two task types in one cell: the topic of the cluster and another one, each with a handler of its own. */
import { EffectWriter } from "../../src/cli/demo/effect-record.ts";
import { defineTasks } from "../../src/execution/define.ts";
import { readSetting } from "../support/cluster-tasks.ts";

const setting = readSetting();
const writer = new EffectWriter(setting.record);

const typeOf = (topic: string) =>
  defineTasks({
    topic,
    onUnknown: "park",
    async execute(task, { token }) {
      // The name of the topic in the line: an id that both topics have is two tasks only if nobody calls them one.
      const line = { taskId: task.id, node: setting.node, pid: process.pid, token: token.toString() };
      writer.append({ ...line, kind: "start" });
      if (task.topic !== topic) throw new Error(`a task of ${task.topic} came to the handler of ${topic}`);
      await Bun.sleep(1);
      writer.append({ ...line, kind: "effect" });
    },
  });

export default [typeOf(setting.topic), typeOf(`${setting.topic}.other`)];
