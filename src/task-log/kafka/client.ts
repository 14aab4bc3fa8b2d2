/**
 * One kafkajs client for each consumer, producer and admin: its log goes to that one's `onWarning`, its sockets can be
 * closed for sure, and every retry option is explicit (kafkajs reads NODE_ENV for its defaults, and tests set it).
 */

import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { Kafka, logLevel, type RetryOptions, type SASLOptions } from "kafkajs";
import "./kafkajs-hooks.ts"; // before the first client

export interface KafkaConnection {
  readonly brokers: readonly string[]; // host:port
  readonly clientId: string;
  readonly tls?: ConnectionOptions | undefined;
  readonly sasl?: SASLOptions | undefined;
}

export interface KafkaClient {
  readonly kafka: Kafka;
  /** Ends every connection at once and refuses new ones. */
  closeSockets(): void;
}

const CONNECTION_TIMEOUT_MS = 3_000;
const AUTHENTICATION_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
const SAME_WARNING_EVERY_MS = 5_000;
const WARNINGS_REMEMBERED_MAX = 100;

/** Short: what it does not mend, the callers try again with a new client, which also drops half-dead connections. */
export const CLIENT_RETRY: Readonly<Required<Omit<RetryOptions, "restartOnFailure">>> = {
  initialRetryTime: 100,
  maxRetryTime: 1_000,
  factor: 0.2,
  multiplier: 2,
  retries: 4,
};

export function createClient(connection: KafkaConnection, onWarning: (message: string) => void): KafkaClient {
  const sockets = new Set<Socket>();
  let closed = false;
  const kafka = new Kafka({
    brokers: [...connection.brokers],
    clientId: connection.clientId,
    ...(connection.tls === undefined ? {} : { ssl: connection.tls }),
    ...(connection.sasl === undefined ? {} : { sasl: connection.sasl }),
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    authenticationTimeout: AUTHENTICATION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    enforceRequestTimeout: true,
    retry: CLIENT_RETRY,
    logLevel: logLevel.ERROR,
    logCreator: () => warningLog(onWarning),
    socketFactory: ({ host, port, ssl, onConnect }) => {
      if (closed) throw new Error("the client is closed");
      const serverName = isIP(host) === 0 ? { servername: host } : {};
      const socket = ssl
        ? connectTls({ host, port, ...serverName, ...ssl }, onConnect)
        : connect({ host, port }, onConnect);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      return socket;
    },
  });
  return {
    kafka,
    closeSockets() {
      closed = true;
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Namespaces whose errors also reach the caller as exceptions, or are part of an ordinary rebalance. */
const EXPLAINED_ELSEWHERE = new Set(["BrokerPool", "Consumer", "ConsumerGroup", "Runner", "Producer"]);

interface LogEntry {
  readonly namespace: string;
  readonly log: { readonly message: string; readonly [extra: string]: unknown };
}

/** kafkajs's errors as sentences with the broker's address; the same sentence at most every few seconds. */
function warningLog(onWarning: (message: string) => void): (entry: LogEntry) => void {
  const lastMs = new Map<string, number>();
  return ({ namespace, log }) => {
    if (EXPLAINED_ELSEWHERE.has(namespace) || log.message.startsWith("Response ")) return;
    const broker = typeof log["broker"] === "string" ? ` ${log["broker"]}` : "";
    const message = `Kafka${broker}: ${log.message}`;
    const nowMs = performance.now();
    if (nowMs - (lastMs.get(message) ?? Number.NEGATIVE_INFINITY) < SAME_WARNING_EVERY_MS) return;
    if (lastMs.size >= WARNINGS_REMEMBERED_MAX) lastMs.clear();
    lastMs.set(message, nowMs);
    onWarning(message);
  };
}

/** Waits for `work`, but no longer than `timeoutMs`; answers whether it ended in time. Its failure counts as an end. */
export async function endsWithin(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const { promise: timedOut, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), timeoutMs);
  const ended = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([ended, timedOut]);
  } finally {
    clearTimeout(timer);
  }
}
