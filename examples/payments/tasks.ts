/** Payments through a provider that can be asked, by our own reference, whether it has a payment. */
import { defineTasks, FailedForGood, OutcomeUnknown } from "vouch";

interface Payment {
  readonly account: string;
  readonly cents: number;
}

const provider = process.env["PROVIDER_URL"] ?? "http://127.0.0.1:7600";
const patienceMs = 1_000;

export default defineTasks<Payment>({
  topic: "payments",

  async execute(task, { signal }) {
    // The reference is the task id: the same in every attempt, on every node. It is what `check` asks for.
    const body = JSON.stringify({ reference: task.id, ...task.payload });
    const response = await fetch(`${provider}/payments`, {
      method: "POST",
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]),
    }).catch((error: unknown) => {
      // Never connected: the request did not leave, nothing happened. An ordinary error: it is tried again.
      if (neverSent(error)) throw error;
      // A time-out, or a connection that broke: the provider may be booking it at this moment. To call that a failure
      // would pay twice, to call it done would lose it. It is unknown: the check decides, after `effectSettleMs`.
      throw new OutcomeUnknown("the provider did not answer", { cause: error });
    });
    if (response.ok) return;
    const answer = `${response.status} ${await response.text()}`;
    if (response.status === 503) throw new Error(answer); // promised by this provider: nothing was done
    if (response.status >= 500) throw new OutcomeUnknown(answer); // it fell over somewhere: before or after the booking?
    throw new FailedForGood(answer); // no such account: no attempt will succeed, so it is a dead letter at once
  },

  async check(task, { signal }) {
    // At the provider's ledger itself: no replica, no cache, no report of last night.
    const response = await fetch(`${provider}/payments/${encodeURIComponent(task.id)}`, { signal });
    if (response.ok) return "executed";
    return response.status === 404 ? "not-executed" : "unknown"; // a 503 is no answer, and no "no"
  },

  onUnknown: "park", // the provider cannot say either: a person looks
  effectSettleMs: 2_000, // it gives up a request whose sender is gone within a second: longer than that
  attemptsMax: 20, // a provider that is down for some minutes makes no dead letters
  retryBackoffMaxMs: 30_000,
});

function neverSent(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : "";
  return code === "ECONNREFUSED" || code === "ENOTFOUND";
}
