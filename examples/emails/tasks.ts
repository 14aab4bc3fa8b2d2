/** E-mails through a server that nobody can ask afterwards: what may have been sent is parked, for a person. */
import { defineTasks, FailedForGood, OutcomeUnknown } from "vouch";

interface Email {
  readonly to: string;
  readonly subject: string;
}

const server = process.env["MAIL_URL"] ?? "http://127.0.0.1:7610";
const patienceMs = 1_000;

export default defineTasks<Email>({
  topic: "emails",

  async execute(task, { signal }) {
    const response = await fetch(`${server}/messages`, {
      method: "POST",
      body: JSON.stringify(task.payload),
      signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]),
    }).catch((error: unknown) => {
      if (neverSent(error)) throw error; // no connection: not sent, tried again
      throw new OutcomeUnknown("the mail server did not answer", { cause: error }); // sent or not: parked
    });
    if (response.ok) return;
    const answer = `${response.status} ${await response.text()}`;
    if (response.status >= 500) throw new Error(answer); // it says that it took nothing: tried again
    throw new FailedForGood(answer); // no such mailbox: emails.dead
  },

  // No `check`: the server's log is half a minute behind, and a check that answers "not yet there" sends twice.
  // "park": a person decides. "execute" would send some twice, "drop" would leave some unsent; choose one of them where
  // nobody has the time and it does no harm: a reminder may come twice, a greeting may be missing.
  onUnknown: "park",
  attemptsMax: 20,
  retryBackoffMaxMs: 30_000,
});

function neverSent(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : "";
  return code === "ECONNREFUSED" || code === "ENOTFOUND";
}
