/**
 * One real Kafka broker (KRaft, broker and controller in one process) on loopback, with group settings that make
 * rebalances quick. A test file starts one in `beforeAll` and shares it: a start costs seconds of CPU.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startJava } from "./java.ts";
import { type ChildProcess, freePorts, temporaryFolder } from "./processes.ts";

const START_MS = 60_000;
const START_TRIES = 3;
const DATA = "data";

export interface KafkaOptions {
  /** Partitions of topics that are created without a number; default 4. */
  readonly partitions?: number;
  readonly heapMb?: number; // default 512
  /** User -> password: a second listener asks for them (SASL/PLAIN without TLS). */
  readonly users?: Readonly<Record<string, string>>;
  /** Further lines of server.properties; they win over the defaults. */
  readonly properties?: Readonly<Record<string, string>>;
  /** For benchmarks: compile hot code fully, at the price of a slower start. */
  readonly fullCompiler?: boolean;
}

export interface KafkaServer {
  /** "127.0.0.1:port"; the same after `restart`. */
  readonly brokers: string;
  readonly port: number;
  /** "127.0.0.1:port" of the listener that asks for a password; "" without `users`. */
  readonly saslBrokers: string;
  /** Of the process that runs now. */
  readonly pid: number;
  /** Where its logs are: `<topic>-<partition>/`. */
  readonly dataFolder: string;
  output(): string;
  /** Sends a signal; with one that ends the process, resolves when it has ended. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends it and removes its data. Idempotent. */
  stop(): Promise<void>;
  /** Ends it if it still runs (SIGKILL) and starts it again on the same port with the same data. */
  restart(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a broker and waits until it serves clients. @throws Error with the broker's output. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnFreePorts(options);
    } catch (error) {
      // Somebody else may have taken a port between our look and the broker's bind.
      if (attempt >= START_TRIES || !/BindException|Address already in use/.test(String(error))) throw error;
    }
  }
}

async function startOnFreePorts(options: KafkaOptions): Promise<KafkaServer> {
  const [port = 0, controllerPort = 0, saslPort = 0] = await freePorts(3);
  const folder = await temporaryFolder("vouch-kafka");
  await writeStorage(folder.path, { port, controllerPort, saslPort }, options);

  const start = async (): Promise<ChildProcess> => {
    const child = await startJava(
      `Kafka on port ${port}`,
      folder.path,
      options.heapMb ?? 512,
      "kafka.Kafka",
      [join(folder.path, "server.properties")],
      { fullCompiler: options.fullCompiler ?? false },
    );
    try {
      await child.waitForOutput(/Kafka Server started/, START_MS);
      return child;
    } catch (error) {
      await child.stop();
      throw error;
    }
  };

  let child: ChildProcess;
  try {
    child = await start();
  } catch (error) {
    await folder.remove();
    throw error;
  }

  const server: KafkaServer = {
    brokers: `127.0.0.1:${port}`,
    port,
    saslBrokers: options.users === undefined ? "" : `127.0.0.1:${saslPort}`,
    get pid() {
      return child.pid;
    },
    dataFolder: join(folder.path, DATA),
    output: () => child.output(),
    async kill(signal) {
      child.kill(signal);
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await child.exited;
    },
    async stop() {
      await child.stop();
      await folder.remove();
    },
    async restart() {
      await child.stop();
      child = await start();
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
  return server;
}

interface Ports {
  readonly port: number;
  readonly controllerPort: number;
  readonly saslPort: number;
}

async function writeStorage(folder: string, ports: Ports, options: KafkaOptions): Promise<void> {
  const { port, controllerPort } = ports;
  const data = join(folder, DATA);
  await mkdir(data);
  const properties: Record<string, string> = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "log.dirs": data,
    "num.partitions": String(options.partitions ?? 4),
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    // A restarted broker waits until the controller has forgotten the one that was killed.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.initial.task.delay.ms": "500",
    ...(options.users === undefined ? {} : saslProperties(ports, options.users)),
    ...options.properties,
  };
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}`);
  await writeFile(join(folder, "server.properties"), `${lines.join("\n")}\n`);
  // What `StorageTool format` would write; by hand it saves the start of a second Java process.
  const ids = Array.from({ length: 2 }, () =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url"),
  );
  await writeFile(
    join(data, "meta.properties"),
    `version=1\nnode.id=1\ncluster.id=${ids[0]?.replace(/^-/, "A")}\ndirectory.id=${ids[1]?.replace(/^-/, "A")}\n`,
  );
}

function saslProperties({ port, controllerPort, saslPort }: Ports, users: Readonly<Record<string, string>>) {
  const logins = Object.entries(users).map(([user, password]) => ` user_${user}="${password}"`);
  return {
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort},SASL://127.0.0.1:${saslPort}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${port},SASL://127.0.0.1:${saslPort}`,
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl.plain.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required${logins.join("")};`,
  };
}
