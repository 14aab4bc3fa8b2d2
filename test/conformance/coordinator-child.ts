/** A node's coordinator in a process of its own, so that a test can kill or stop it. Argument: a `CoordinatorSpec` as JSON. */
import {
  type ChildReply,
  type ChildRequest,
  type CoordinatorSpec,
  type Standing,
  openFromSpec,
} from "./coordinator-spec.ts";

const spec = JSON.parse(process.argv[2] ?? "") as CoordinatorSpec;
const coordinator = openFromSpec(spec);
const states: string[] = [];

async function answer(request: ChildRequest): Promise<unknown> {
  const body = request.body;
  switch (body.call) {
    case "start":
      return coordinator.start(body.self, (event) => {
        if (event.type === "session") states.push(event.state);
      });
    case "compete":
      return coordinator.compete(body.highestKnownEpoch);
    case "writeInSync":
      return coordinator.writeInSync(body.epoch, { epoch: body.epoch, incarnations: body.incarnations }, body.version);
    case "standing":
      return { remainingMs: coordinator.remainingMs(), states } satisfies Standing;
    default:
      return body satisfies never;
  }
}

process.on("message", (request: ChildRequest) => {
  const reply = (result: unknown, error: string | null): void => {
    process.send?.({ id: request.id, result: result ?? null, error } satisfies ChildReply);
  };
  answer(request).then(
    (result) => reply(result, null),
    (error: unknown) => reply(null, String(error)),
  );
});
process.on("disconnect", () => process.exit(0)); // the test process is gone
