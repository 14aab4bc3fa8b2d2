/** The classifier of failed commits: reads the whole chain of causes, and is total. */

import { expect, test } from "bun:test";
import { commitOutcomeOf } from "../../../src/task-log/kafka/commit-outcome.ts";

const brokerError = (type: string): Error => Object.assign(new Error(`the broker says ${type}`), { type });

/** As kafkajs 2.2.4 wraps it: the outer error has neither type nor code. */
const wrapped = (type: string): Error =>
  new Error("retries are over", { cause: new Error("x", { cause: brokerError(type) }) });

test("R14: what says that the generation is over is refused, however deep it is", () => {
  for (const type of ["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "FENCED_INSTANCE_ID"]) {
    expect(commitOutcomeOf(brokerError(type))).toMatchObject({ outcome: "refused" });
    expect(commitOutcomeOf(wrapped(type))).toMatchObject({ outcome: "refused", reason: expect.stringContaining(type) });
  }
});

test("what can never succeed is fatal", () => {
  for (const type of ["OFFSET_METADATA_TOO_LARGE", "GROUP_AUTHORIZATION_FAILED", "TOPIC_AUTHORIZATION_FAILED"]) {
    expect(commitOutcomeOf(wrapped(type))).toMatchObject({ outcome: "fatal" });
  }
  const login = Object.assign(new Error("wrong password"), { name: "KafkaJSSASLAuthenticationError" });
  expect(commitOutcomeOf(login)).toMatchObject({ outcome: "fatal" });
});

test("everything else is unknown: it may have been applied", () => {
  for (const type of ["REQUEST_TIMED_OUT", "NOT_COORDINATOR_FOR_GROUP", "GROUP_LOAD_IN_PROGRESS", "SOMETHING_NEW"]) {
    expect(commitOutcomeOf(wrapped(type))).toMatchObject({ outcome: "unknown" });
  }
  const endless = new Error("endless");
  endless.cause = endless;
  for (const thrown of [new Error("ECONNRESET"), endless, "text", null, undefined, 7, {}, { type: 7 }]) {
    expect(commitOutcomeOf(thrown)).toMatchObject({ outcome: "unknown" });
  }
});
