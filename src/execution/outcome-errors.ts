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

/** What a thrown value says about its run; an ordinary error says "failed". Never throws. */
export function outcomeOf(thrown: unknown): "failed" | "unknown" | "failed-for-good" {
  if (typeof thrown !== "object" || thrown === null) return "failed";
  try {
    const mark = (thrown as { readonly [MARK]?: unknown })[MARK];
    return mark === "unknown" || mark === "failed-for-good" ? mark : "failed";
  } catch {
    return "failed"; // a proxy, or a getter that throws
  }
}
