/**
 * The shapes of the modules inside kafkajs 2.2.4 that `kafkajs-hooks.ts` reaches into: only what is used. Read in its
 * source; another version of kafkajs needs another look (package.json pins it).
 */

declare module "kafkajs/src/network/requestQueue" {
  export default class RequestQueue {
    readonly pending: readonly unknown[];
    readonly throttledUntil: number;
    throttleCheckTimeoutId: ReturnType<typeof setTimeout> | null;
    checkPendingRequests(): void;
    scheduleCheckPendingRequests(): void;
  }
}

declare module "kafkajs/src/cluster" {
  import type Broker from "kafkajs/src/broker";

  export interface PartitionLeadership {
    readonly partitionId: number;
    readonly leader: number;
  }

  export default class Cluster {
    connect(): Promise<void>;
    findGroupCoordinator(group: { groupId: string }): Promise<Broker>;
    disconnect(): Promise<void>;
    refreshMetadata(): Promise<void>;
    refreshMetadataIfNecessary(): Promise<void>;
    findTopicPartitionMetadata(topic: string): readonly PartitionLeadership[];
    findBroker(node: { nodeId: string }): Promise<Broker>;
  }
}

declare module "kafkajs/src/broker" {
  export interface ListedOffsets {
    readonly responses: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
    }[];
  }

  export interface FetchedOffsets {
    readonly responses: readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly offset: string;
        readonly metadata: string | null;
      }[];
    }[];
  }

  export interface OffsetCommitRequest {
    readonly groupId: string;
    readonly memberId: string;
    readonly groupGenerationId: number;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly offset: string;
        readonly metadata: string;
      }[];
    }[];
  }

  export interface Protocol<T> {
    readonly request: unknown;
    readonly response: {
      decode(payload: Buffer): Promise<T & { readonly clientSideThrottleTime: number }>;
      parse(data: T): Promise<T>;
    };
    readonly requestTimeout: number;
  }

  export default class Broker {
    readonly connectionPool: {
      readonly host: string;
      readonly port: number;
      send<T>(protocol: Protocol<T>): Promise<T>;
    };
    /** By API key, once connected. */
    readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null;
    disconnect(): Promise<void>;
    offsetFetch(request: {
      groupId: string;
      topics: readonly { topic: string; partitions: readonly { partition: number }[] }[];
    }): Promise<FetchedOffsets>;
    leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>;
    offsetCommit(request: OffsetCommitRequest): Promise<unknown>;
    listOffsets(request: {
      isolationLevel: number;
      topics: readonly { topic: string; partitions: readonly { partition: number; timestamp: number }[] }[];
    }): Promise<ListedOffsets>;
  }
}

declare module "kafkajs/src/consumer/consumerGroup" {
  import type Broker from "kafkajs/src/broker";
  import type Cluster from "kafkajs/src/cluster";

  export interface OffsetManager {
    readonly generationId: number;
    readonly memberId: string;
    getCoordinator(): Promise<Broker>;
  }

  export default class ConsumerGroup {
    readonly cluster: Cluster;
    readonly groupId: string;
    readonly coordinator: Broker;
    readonly offsetManager: OffsetManager;
    readonly generationId: number;
    memberId: string | null;
    joinAndSync: (this: ConsumerGroup) => Promise<void>;
    fetch: (this: ConsumerGroup, nodeId: string) => Promise<readonly never[]>;
    assigned(): readonly { readonly topic: string; readonly partitions: readonly number[] }[];
    checkForStaleAssignment(): void;
    recoverFromFetch(error: unknown): Promise<void>;
    recoverFromOffsetOutOfRange: (this: ConsumerGroup, error: unknown) => Promise<void>;
  }
}

declare module "kafkajs/src/protocol/requests/fetch/v11/request" {
  export interface FetchRequestTopic {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number;
      readonly fetchOffset: string;
      readonly maxBytes: number;
    }[];
  }

  export default function fetchRequest(options: {
    readonly replicaId: number;
    readonly isolationLevel: number;
    readonly maxWaitTime: number;
    readonly minBytes: number;
    readonly maxBytes: number;
    readonly topics: readonly FetchRequestTopic[];
    readonly rackId: string;
  }): unknown;
}

declare module "kafkajs/src/protocol/error" {
  export function createErrorFromCode(code: number): Error & { readonly type: string; readonly retriable: boolean };
}

declare module "kafkajs/src/errors" {
  export class KafkaJSNonRetriableError extends Error {
    constructor(message: string);
  }
  export class KafkaJSProtocolError extends Error {
    constructor(error: { message: string; type: string; code: number; retriable: boolean });
    readonly type: string;
  }
}
