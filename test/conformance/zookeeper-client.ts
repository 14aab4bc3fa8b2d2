/** What a person with a ZooKeeper client could do to a cell. */
import { connect } from "node:net";
import { ZooKeeperConnection } from "../../src/coordinator/zookeeper/connection.ts";
import { parseConnectString } from "../../src/coordinator/zookeeper/connect-string.ts";
import type { NodeData, Reply } from "../../src/coordinator/zookeeper/requests.ts";

/** A plain connection with a session of its own, as a person's client is one. */
export async function withClient<T>(address: string, use: (client: ZooKeeperConnection) => Promise<T>): Promise<T> {
  const [server] = parseConnectString(address).servers;
  if (server === undefined) throw new Error(`no server in ${address}`);
  const ready = Promise.withResolvers<void>();
  const client = new ZooKeeperConnection(
    { server, sessionMs: 10_000, resume: null, zxid: 0n, auth: null, nowMs: () => performance.now() },
    {
      handshake: () => ready.resolve(),
      expired: () => ready.reject(new Error("expired")),
      answered: () => undefined,
      ended: (reason) => ready.reject(new Error(reason)),
    },
  );
  try {
    await ready.promise;
    return await use(client);
  } finally {
    await client.endSession(2_000);
  }
}

/** @throws Error when the request was not answered with a value. */
export function valueOf<T>(reply: Reply<T>): T {
  if (reply.kind !== "ok") throw new Error(`ZooKeeper: ${JSON.stringify(reply)}`);
  return reply.value;
}

export function readNode(address: string, path: string): Promise<NodeData> {
  return withClient(address, async (client) => valueOf(await client.getData(path)));
}

/** The sessions (16 hex digits) that are connected to a server now. */
export function connectedSessions(port: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect({ host: "127.0.0.1", port }, () => socket.write("cons"));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.on("error", reject);
    socket.on("close", () => {
      resolve([...text.matchAll(/sid=0x([0-9a-f]+)/g)].map((match) => (match[1] ?? "").padStart(16, "0")));
    });
  });
}
