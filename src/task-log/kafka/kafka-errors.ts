/** What came out of kafkajs, as an operating error with a classification. */

import { describeError, VouchError } from "../../errors.ts";
import { errorCodes } from "./commit-outcome.ts";

/** Trying again cannot help before somebody changes a configuration, a permission or the software. */
const HOPELESS = new Set([
  "CLUSTER_AUTHORIZATION_FAILED",
  "GROUP_AUTHORIZATION_FAILED",
  "TOPIC_AUTHORIZATION_FAILED",
  "SASL_AUTHENTICATION_FAILED",
  "UNSUPPORTED_SASL_MECHANISM",
  "UNSUPPORTED_VERSION",
  "INVALID_GROUP_ID",
  "INVALID_SESSION_TIMEOUT",
  "INVALID_TOPIC_EXCEPTION",
  "INVALID_PARTITIONS",
  "INVALID_REPLICATION_FACTOR",
  "INVALID_CONFIG",
  "POLICY_VIOLATION",
  "MESSAGE_TOO_LARGE",
  "RECORD_LIST_TOO_LARGE",
  "INVALID_RECORD",
  "KafkaJSSASLAuthenticationError",
  "KafkaJSServerDoesNotSupportApiKey",
]);

const UNREACHABLE = new Set([
  "KafkaJSConnectionError",
  "KafkaJSConnectionClosedError",
  "KafkaJSRequestTimeoutError",
  "KafkaJSBrokerNotFound",
  "KafkaJSNoBrokerAvailableError",
  "KafkaJSLockTimeout",
  "KafkaJSMetadataNotLoaded",
  "KafkaJSTopicMetadataNotLoaded",
  "KafkaJSGroupCoordinatorNotFound",
]);

export function isHopeless(thrown: unknown): boolean {
  return errorCodes(thrown).some((code) => HOPELESS.has(code));
}

export function isUnknownTopic(thrown: unknown): boolean {
  return errorCodes(thrown).includes("UNKNOWN_TOPIC_OR_PARTITION");
}

/** "unavailable" (and retriable) when a broker did not answer, else "task-log". */
export function toVouchError(what: string, thrown: unknown): VouchError {
  if (thrown instanceof VouchError) return thrown;
  const unreachable = !isHopeless(thrown) && errorCodes(thrown).some((code) => UNREACHABLE.has(code));
  return new VouchError(unreachable ? "unavailable" : "task-log", `${what}: ${describeError(thrown)}`, {
    cause: thrown,
  });
}
