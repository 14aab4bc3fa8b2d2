/**
 * A process that produces for ever, to be killed. It sends records `<name> <n>` and prints `acked <n>` only after the
 * log has acknowledged every record up to n.
 * Arguments: directory, topic, name, records a send, last n (then it closes and ends; 0: never).
 */
import { openEmbeddedTaskLog } from "../../../src/task-log/embedded/embedded-task-log.ts";

const [directory = "", topic = "", name = "", perSend = "1", lastText = "0"] = process.argv.slice(2);
const log = openEmbeddedTaskLog({ directory });
const producer = log.producer();
const last = Number(lastText);
await log.admin().createTopic(topic, 3);

for (let n = 0; last === 0 || n < last;) {
  const count = Number(perSend);
  await producer.send(
    topic,
    Array.from({ length: count }, (_, index) => ({ value: `${name} ${n + index + 1}` })),
  );
  n += count;
  console.log(`acked ${n}`);
}
await log.close();
console.log("done");
