/** Webhooks: some receivers can be asked whether they have an event, others cannot. One topic for each kind. */
import { defineTasks, FailedForGood, OutcomeUnknown, type Task, type TaskContext } from "vouch";

interface Webhook {
  readonly url: string;
  readonly lookUp?: string; // answers 200 or 404 for `<lookUp>/<event id>`
  readonly event: unknown;
}

const patienceMs = 1_000;
const retries = { attemptsMax: 12, retryBackoffMs: 500, retryBackoffMaxMs: 60_000 }; // doubling, with jitter

export default [
  defineTasks<Webhook>({
    topic: "webhooks",
    execute: deliver,
    async check(task, { signal }) {
      if (task.payload.lookUp === undefined) return "unknown"; // belongs into the other topic: parked
      const response = await fetch(`${task.payload.lookUp}/${encodeURIComponent(task.id)}`, { signal });
      if (response.ok) return "executed";
      return response.status === 404 ? "not-executed" : "unknown"; // 401, 429 or 503 say nothing about the event
    },
    onUnknown: "park",
    ...retries,
  }),
  // Without a check a node is granted only what it can start, so that a crash leaves few of them in doubt. Where every
  // receiver promises to ignore a `webhook-id` that it has had, "execute" is right instead: then the receiver is the check.
  defineTasks<Webhook>({ topic: "webhooks-blind", execute: deliver, onUnknown: "park", ...retries }),
];

async function deliver(task: Task<Webhook>, { signal }: TaskContext): Promise<void> {
  const response = await fetch(task.payload.url, {
    method: "POST",
    headers: { "webhook-id": task.id }, // the same in every attempt
    body: JSON.stringify(task.payload.event),
    redirect: "manual", // whoever moved says so once: it becomes a dead letter with the status
    signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]),
  }).catch((error: unknown) => {
    if (neverSent(error)) throw error; // tried again
    throw new OutcomeUnknown("no answer", { cause: error }); // a time-out: it may have been taken
  });
  if (response.ok) return;
  const answer = `${response.status} ${await response.text()}`;
  const tryLater = response.status >= 500 || [408, 425, 429].includes(response.status);
  if (tryLater) throw new Error(answer); // not taken, and that may change: tried again, with back-off
  throw new FailedForGood(answer); // 404, 410, 422: not taken, and never will be: a dead letter at once
}

function neverSent(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : "";
  return code === "ECONNREFUSED" || code === "ENOTFOUND";
}
