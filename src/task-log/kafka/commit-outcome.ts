/**
 * What a failed commit means. kafkajs wraps the broker's error several times and keeps its code only in `cause.type`, so
 * the whole chain is read. Total: whatever is thrown has an outcome, and what is not known for sure is "unknown".
 */

import { describeError } from "../../errors.ts";
import type { CommitOutcome } from "../task-log.ts";

/** The generation is over, or is ending: a rebalance happened (S7). */
const REFUSED = new Set(["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "FENCED_INSTANCE_ID"]);

/** No later attempt of the same commit can succeed without somebody changing something. */
const FATAL = new Set([
  "OFFSET_METADATA_TOO_LARGE",
  "INVALID_COMMIT_OFFSET_SIZE",
  "INVALID_GROUP_ID",
  "INVALID_REQUEST",
  "GROUP_AUTHORIZATION_FAILED",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "SASL_AUTHENTICATION_FAILED",
  "UNSUPPORTED_SASL_MECHANISM",
  "UNSUPPORTED_VERSION",
  "KafkaJSSASLAuthenticationError",
  "KafkaJSServerDoesNotSupportApiKey",
  "KafkaJSNotImplemented",
]);

const CAUSES_MAX = 10;

/** The broker's error codes and kafkajs's error names in the chain of causes, outermost first. */
export function errorCodes(thrown: unknown): readonly string[] {
  const codes: string[] = [];
  let current: unknown = thrown;
  for (let depth = 0; depth < CAUSES_MAX && typeof current === "object" && current !== null; depth++) {
    if ("type" in current && typeof current.type === "string") codes.push(current.type);
    if ("name" in current && typeof current.name === "string") codes.push(current.name);
    current = "cause" in current ? current.cause : null;
  }
  return codes;
}

export function commitOutcomeOf(thrown: unknown): Exclude<CommitOutcome, { outcome: "committed" }> {
  const codes = errorCodes(thrown);
  const reason = describeError(thrown);
  const refused = codes.find((code) => REFUSED.has(code));
  if (refused !== undefined) return { outcome: "refused", reason: `${refused}: ${reason}` };
  const fatal = codes.find((code) => FATAL.has(code));
  if (fatal !== undefined) return { outcome: "fatal", reason: `${fatal}: ${reason}` };
  return { outcome: "unknown", reason };
}
