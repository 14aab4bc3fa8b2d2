/** How a test, or a child process of one, opens a coordinator: plain data, so that it can cross a process boundary. */
import type { Coordinator, MemberInfo } from "../../src/coordinator/coordinator.ts";
import { openEmbeddedCoordinator } from "../../src/coordinator/embedded/embedded-coordinator.ts";
import { openZooKeeperCoordinator } from "../../src/coordinator/zookeeper/zookeeper-coordinator.ts";

export interface EmbeddedSpec {
  readonly kind: "embedded";
  readonly directory: string;
  readonly cell: string;
  readonly sessionMs: number;
}

export interface ZooKeeperSpec {
  readonly kind: "zookeeper";
  readonly connectString: string;
  readonly root: string;
  readonly cell: string;
  readonly sessionMs: number;
}

export type CoordinatorSpec = EmbeddedSpec | ZooKeeperSpec;

export function openFromSpec(spec: CoordinatorSpec): Coordinator {
  return spec.kind === "embedded" ? openEmbeddedCoordinator(spec) : openZooKeeperCoordinator(spec);
}

let bootIds = 0;

/** A member's record whose boot id no other call in this process gives, nor one in another process. */
export function memberInfo(nodeId: string): MemberInfo {
  bootIds += 1;
  return {
    nodeId,
    bootId: `${process.pid.toString(16)}${bootIds.toString(16).padStart(8, "0")}`.padStart(32, "0"),
    peerAddress: "127.0.0.1:7400",
    httpAddress: "",
    protocolVersion: 1,
    process: { kernelBootId: "kernel", pidNamespace: "pid:[1]", pid: process.pid, startTime: "1" },
  };
}

/** The calls that a test makes in a child process. */
export type ChildCall =
  | { readonly call: "start"; readonly self: MemberInfo }
  | { readonly call: "compete"; readonly highestKnownEpoch: number }
  | { readonly call: "writeInSync"; readonly epoch: number; readonly version: number; readonly incarnations: string[] }
  | { readonly call: "standing" };

export interface Standing {
  readonly remainingMs: number;
  readonly states: readonly string[]; // of the session, in the order reported
}

export interface ChildRequest {
  readonly id: number;
  readonly body: ChildCall;
}

export interface ChildReply {
  readonly id: number;
  readonly result: unknown;
  readonly error: string | null;
}
