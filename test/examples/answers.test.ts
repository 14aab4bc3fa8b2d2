/** What the handlers of the examples make of each answer: done, tried again, dead, or unknown. One wrong word here pays twice. */
import { afterAll, expect, test } from "bun:test";
import { FailedForGood, OutcomeUnknown, type Task, type TaskContext, type TaskDefinition } from "../../src/index.ts";

let status = 200;
let breakOff = false;
const service = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request, server) {
    if (breakOff) await server.stop(true); // closes the connection with the request in it
    return new Response("as ordered", { status, headers: { location: new URL("/elsewhere", request.url).href } });
  },
});
const url = service.url.origin;
for (const name of ["PROVIDER_URL", "MAIL_URL", "RECEIVER_URL"]) process.env[name] = url;

afterAll(() => service.stop(true));

async function definition(example: string): Promise<TaskDefinition> {
  const module = (await import(`../../examples/${example}/tasks.ts`)) as {
    readonly default: TaskDefinition | readonly TaskDefinition[];
  };
  return [module.default].flat()[0]!;
}

const task = { id: "t-1", payload: { url: `${url}/hook`, lookUp: `${url}/events` } } as unknown as Task<unknown>;
const context = { signal: new AbortController().signal } as TaskContext;

async function ending(tasks: TaskDefinition): Promise<string> {
  try {
    await tasks.execute(task, context);
    return "done";
  } catch (error) {
    if (error instanceof OutcomeUnknown) return "unknown";
    return error instanceof FailedForGood ? "dead" : "again";
  }
}

const EXPECTED: readonly (readonly [example: string, endings: Readonly<Record<number, string>>])[] = [
  ["payments", { 200: "done", 201: "done", 404: "dead", 422: "dead", 500: "unknown", 502: "unknown", 503: "again" }],
  ["emails", { 200: "done", 404: "dead", 500: "again", 503: "again" }],
  [
    "webhooks",
    {
      200: "done",
      204: "done",
      302: "dead",
      404: "dead",
      410: "dead",
      408: "again",
      429: "again",
      500: "again",
      503: "again",
    },
  ],
];

for (const [example, endings] of EXPECTED) {
  test(`${example}: each answer has its ending`, async () => {
    const tasks = await definition(example);
    for (const [code, expected] of Object.entries(endings)) {
      status = Number(code);
      expect({ code, ending: await ending(tasks) }).toEqual({ code, ending: expected });
    }
  });
}

for (const example of ["payments", "webhooks"]) {
  test(`${example}: only a clear no of the look-up is "not-executed"`, async () => {
    const tasks = await definition(example);
    for (const [code, expected] of [
      [200, "executed"],
      [404, "not-executed"],
      [401, "unknown"],
      [429, "unknown"],
      [500, "unknown"],
      [503, "unknown"],
    ] as const) {
      status = code;
      expect({ code, answer: await tasks.check!(task, context) }).toEqual({ code, answer: expected });
    }
  });
}

test("a connection that breaks is unknown, one that was never made is tried again", async () => {
  status = 200;
  const definitions = await Promise.all(EXPECTED.map(([example]) => definition(example)));
  breakOff = true;
  expect(await ending(definitions[0]!)).toBe("unknown");
  for (const tasks of definitions) expect(await ending(tasks)).toBe("again"); // the service is gone now
});
