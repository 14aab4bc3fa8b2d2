/**
 * What a handler throws to say more than "it failed, nothing happened". They are recognised by a mark and not by their
 * class: a task module may have loaded another copy of this package than the node that runs it.
 */

const MARK = Symbol.for("vouch.outcome");

/**
 * Thrown when the effect may or may not have happened: no answer within your own time limit, a connection that broke after
 * the request was sent. The run counts as unknown and is not simply repeated: after `effectSettleMs` the check decides, or
 * without one `onUnknown`.
 */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";
  readonly [MARK] = "unknown";
}

/** Thrown when nothing happened and no further attempt can succeed: the record goes to `<topic>.dead` at once. */
export class FailedForGood extends Error {
  override readonly name = "FailedForGood";
  readonly [MARK] = "failed-for-good";
}

/** A cause may be its own cause. */
const CAUSES_MAX = 16;

/**
 * What a thrown value says about its run; an ordinary error says "failed". Whoever wraps an error keeps it as `cause`, or
 * among the `errors` of an AggregateError: one that does not know, anywhere in there, makes the run unknown, unless what was
 * thrown itself says more. Never throws.
 */
export function outcomeOf(thrown: unknown): "failed" | "unknown" | "failed-for-good" {
  const left: unknown[] = [thrown];
  let forGood = false;
  try {
    for (let seen = 0; left.length > 0 && seen < CAUSES_MAX; seen++) {
      const each = left.shift();
      if (typeof each !== "object" || each === null) continue;
      const mark = (each as { readonly [MARK]?: unknown })[MARK];
      if (mark === "unknown") return "unknown";
      forGood ||= mark === "failed-for-good";
      if (forGood && seen === 0) break;
      if (each instanceof Error) left.push(each.cause);
      if (each instanceof AggregateError) left.push(...each.errors.slice(0, CAUSES_MAX));
    }
  } catch {
    // A proxy, or a getter that throws: what was read before it counts.
  }
  return forGood ? "failed-for-good" : "failed";
}
