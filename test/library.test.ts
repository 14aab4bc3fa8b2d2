import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineTasks, startNode } from "../src/index.ts";
import { openEmbeddedTaskLog } from "../src/task-log/embedded/embedded-task-log.ts";

const folder = await mkdtemp(join(tmpdir(), "vouch-library-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a node is a library call: started, works, stopped by `await using`", async () => {
  const log = openEmbeddedTaskLog({ directory: folder });
  const admin = log.admin();
  await admin.createTopic("payments", 2);
  const producer = log.producer();
  await producer.send("payments", [{ value: '{"amount":1}' }, { value: '{"amount":2}' }]);
  const done = Promise.withResolvers<void>();
  const amounts: number[] = [];
  const tasks = defineTasks<{ amount: number }>({
    topic: "payments",
    onUnknown: "park",
    execute(task) {
      amounts.push(task.payload.amount);
      if (amounts.length === 2) done.resolve();
    },
  });
  {
    await using node = await startNode(
      {
        nodeId: "n1",
        dataDir: folder,
        singleNode: true,
        minInSync: 1,
        peerListen: { host: "127.0.0.1", port: 0 },
        httpListen: { host: "127.0.0.1", port: 0 },
      },
      tasks,
    );
    await done.promise;
    expect(node.status()?.core.role).toBe("leader");
  }
  expect(amounts.toSorted((a, b) => a - b)).toEqual([1, 2]);
  await log.close();
});
