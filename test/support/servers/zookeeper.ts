/** Real ZooKeeper on loopback: one server, or an ensemble whose members can be killed, stopped and restarted one by one. */

import { mkdir, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { startJava } from "./java.ts";
import { type ChildProcess, freePorts, temporaryFolder, waitUntil } from "./processes.ts";

const START_MS = 60_000;
const START_TRIES = 3;

export interface ZooKeeperOptions {
  /** Sessions may be as short as 2 ticks; default 200. */
  readonly tickMs?: number;
  readonly heapMb?: number; // default 192
}

export interface ZooKeeperServer {
  /** "127.0.0.1:port"; the same after `restart`. */
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  output(): string;
  /** "leader", "follower", "standalone", or "" when it does not serve. */
  mode(): Promise<string>;
  /** Sends a signal; with one that ends the process, resolves when it has ended. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends it if it still runs (SIGKILL) and starts it again on the same port with the same data. */
  restart(): Promise<void>;
  /** The same, without any data: a disk that was lost, or somebody who set it up anew. One server only, no ensemble. */
  restartEmpty(): Promise<void>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ZooKeeperEnsemble {
  /** Comma-separated addresses of all members. */
  readonly connect: string;
  readonly servers: readonly ZooKeeperServer[];
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One server, serving. @throws Error with its output. */
export async function startZooKeeper(options: ZooKeeperOptions = {}): Promise<ZooKeeperServer> {
  const ensemble = await withFreshPorts(() => startServers(1, options));
  const [server] = ensemble.servers;
  if (server === undefined) throw new Error("no server was started");
  return server;
}

/** `size` servers with a quorum (one of them leads). @throws Error with the output of the one that failed. */
export async function startEnsemble(size: number, options: ZooKeeperOptions = {}): Promise<ZooKeeperEnsemble> {
  return withFreshPorts(() => startServers(size, options));
}

async function withFreshPorts<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      // Somebody else may have taken a port between our look and the server's bind.
      if (attempt >= START_TRIES || !/BindException|Address already in use/.test(String(error))) throw error;
    }
  }
}

async function startServers(size: number, options: ZooKeeperOptions): Promise<ZooKeeperEnsemble> {
  const ports = await freePorts(size * 3);
  const quorum = Array.from({ length: size }, (_, index) => {
    const [peer, election] = [ports[size + index * 2], ports[size + index * 2 + 1]];
    return `server.${index + 1}=127.0.0.1:${peer}:${election}`;
  });
  const started = await Promise.allSettled(
    Array.from({ length: size }, (_, index) =>
      startServer(index + 1, ports[index] ?? 0, size > 1 ? quorum : [], options),
    ),
  );
  const servers = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  const failed = started.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  return { connect: servers.map((server) => server.address).join(","), servers, stop, [Symbol.asyncDispose]: stop };
}

async function startServer(
  id: number,
  port: number,
  quorum: readonly string[],
  options: ZooKeeperOptions,
): Promise<ZooKeeperServer> {
  const folder = await temporaryFolder("vouch-zookeeper");
  await writeConfiguration(folder.path, id, port, quorum, options.tickMs ?? 200);
  const mainClass = `org.apache.zookeeper.server.${quorum.length > 0 ? "quorum.QuorumPeerMain" : "ZooKeeperServerMain"}`;

  const start = async (): Promise<ChildProcess> => {
    const child = await startJava(
      `ZooKeeper ${id} on port ${port}`,
      folder.path,
      options.heapMb ?? 192,
      mainClass,
      [join(folder.path, "zoo.cfg")],
      { javaOptions: ["-Dzookeeper.admin.enableServer=false", "-Dzookeeper.4lw.commands.whitelist=*"] },
    );
    try {
      await waitUntil(
        `ZooKeeper ${id} on port ${port} to serve`,
        async () => {
          if (!child.alive()) throw new Error(`${child.name} ended:\n${child.output()}`);
          return (await modeOf(port)) !== "";
        },
        START_MS,
        50,
      );
      return child;
    } catch (error) {
      await child.stop();
      throw new Error(`${String(error)}\n${child.output()}`, { cause: error });
    }
  };

  let child: ChildProcess;
  try {
    child = await start();
  } catch (error) {
    await folder.remove();
    throw error;
  }
  const server: ZooKeeperServer = {
    address: `127.0.0.1:${port}`,
    port,
    get pid() {
      return child.pid;
    },
    output: () => child.output(),
    mode: () => modeOf(port),
    async kill(signal) {
      child.kill(signal);
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await child.exited;
    },
    async restart() {
      await child.stop();
      child = await start();
    },
    async restartEmpty() {
      await child.stop();
      await rm(join(folder.path, "data", "version-2"), { recursive: true, force: true });
      child = await start();
    },
    async stop() {
      await child.stop();
      await folder.remove();
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
  return server;
}

async function writeConfiguration(
  folder: string,
  id: number,
  port: number,
  quorum: readonly string[],
  tickMs: number,
): Promise<void> {
  const data = join(folder, "data");
  await mkdir(data);
  await writeFile(join(data, "myid"), `${id}\n`);
  const lines = [
    `tickTime=${tickMs}`,
    "initLimit=50",
    "syncLimit=25",
    `dataDir=${data}`,
    `clientPort=${port}`,
    "clientPortAddress=127.0.0.1",
    "maxClientCnxns=0",
    "maxSessionTimeout=60000",
    "admin.enableServer=false",
    "forceSync=no", // durability against power loss is not what these tests are about
    ...quorum,
  ];
  await writeFile(join(folder, "zoo.cfg"), `${lines.join("\n")}\n`);
}

/** Asks the four-letter command `srvr`, which only a serving server answers with a mode. */
function modeOf(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect({ host: "127.0.0.1", port });
    const finish = (): void => {
      socket.destroy();
      resolve(/^Mode: (\w+)/m.exec(text)?.[1] ?? "");
    };
    socket.setTimeout(1_000, finish);
    socket.on("connect", () => socket.write("srvr"));
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("error", finish);
    socket.on("end", finish);
    socket.on("close", finish);
  });
}
