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

/** A broker answered that it (or another one) will be able to in a moment. */
const BUSY = new Set([
  "GROUP_LOAD_IN_PROGRESS",
  "GROUP_COORDINATOR_NOT_AVAILABLE",
  "NOT_COORDINATOR_FOR_GROUP",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_FOR_PARTITION",
  "NOT_CONTROLLER",
  "NOT_ENOUGH_REPLICAS",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "REQUEST_TIMED_OUT",
  "NETWORK_EXCEPTION",
]);

export function isBusy(thrown: unknown): boolean {
  return errorCodes(thrown).some((code) => BUSY.has(code));
}

export function isHopeless(thrown: unknown): boolean {
  return errorCodes(thrown).some((code) => HOPELESS.has(code));
}

/** The members that the group has now, and this one, have no assigner in common. */
export function isOthersGroup(thrown: unknown): boolean {
  return errorCodes(thrown).includes("INCONSISTENT_GROUP_PROTOCOL");
}

export function isTooLarge(thrown: unknown): boolean {
  return errorCodes(thrown).some((code) => code === "MESSAGE_TOO_LARGE" || code === "RECORD_LIST_TOO_LARGE");
}

export function isUnknownTopic(thrown: unknown): boolean {
  return errorCodes(thrown).includes("UNKNOWN_TOPIC_OR_PARTITION");
}

/** What a person can do about a write that a broker refuses; "" where nothing but waiting helps. */
export function writeAdvice(topic: string, thrown: unknown): string {
  const codes = errorCodes(thrown);
  const has = (...any: string[]): boolean => any.some((code) => codes.includes(code));
  if (isTooLarge(thrown)) return `raise max.message.bytes of ${topic}`;
  if (has("NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"))
    return `bring the replicas of ${topic} back, or lower its min.insync.replicas`;
  if (has("UNKNOWN_TOPIC_OR_PARTITION", "KafkaJSTopicMetadataNotLoaded")) return `create topic ${topic}`;
  if (has("TOPIC_AUTHORIZATION_FAILED")) return `allow this node's user to write to ${topic}`;
  if (has("CLUSTER_AUTHORIZATION_FAILED")) return "allow this node's user IdempotentWrite on the cluster";
  return "";
}

/** "unavailable" (and retriable) when a broker did not answer or is not ready, else "task-log". */
export function toVouchError(what: string, thrown: unknown, advice = ""): VouchError {
  if (thrown instanceof VouchError) return thrown;
  const unreachable = errorCodes(thrown).some((code) => UNREACHABLE.has(code));
  const unavailable = !isHopeless(thrown) && (unreachable || isBusy(thrown));
  return new VouchError(
    unavailable ? "unavailable" : "task-log",
    `${what}: ${describeError(thrown)}${advice === "" ? "" : `; to do: ${advice}`}`,
    {
      cause: thrown,
    },
  );
}
