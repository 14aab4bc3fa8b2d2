/** Reads a ZooKeeper connect string, `host:port,host:port/chroot`, and the paths below it. Pure. */
import { VouchError } from "../../errors.ts";

const PORT_DEFAULT = 2181;

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

export interface ConnectTarget {
  readonly servers: readonly ServerAddress[];
  readonly chroot: string; // "" or "/a/b"
}

/** @throws VouchError "configuration" naming the part that cannot be read. */
export function parseConnectString(text: string): ConnectTarget {
  const slash = text.indexOf("/");
  const list = slash === -1 ? text : text.slice(0, slash);
  const servers = list
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseServer);
  if (servers.length === 0) throw new VouchError("configuration", `ZooKeeper: no server in ${JSON.stringify(text)}`);
  return { servers, chroot: slash === -1 ? "" : normalPath(text.slice(slash)) };
}

function parseServer(text: string): ServerAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? PORT_DEFAULT : Number(match[3]);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new VouchError("configuration", `ZooKeeper: expected host:port, got ${JSON.stringify(text)}`);
  }
  return { host, port };
}

/** `a/b`, `/a/b` and `/a/b/` are `/a/b`; nothing is "". @throws VouchError "configuration" */
export function normalPath(text: string): string {
  const parts = text.split("/").filter((part) => part !== "");
  for (const part of parts) {
    // ZooKeeper refuses relative parts and control characters; it reserves the first name "zookeeper".
    if (part === "." || part === ".." || /\p{Cc}/u.test(part)) {
      throw new VouchError("configuration", `ZooKeeper: ${JSON.stringify(text)} is not a path`);
    }
  }
  return parts.map((part) => `/${part}`).join("");
}

/** Where a cell keeps what. Node ids and topics are escaped, so that none of them can name another node. */
export class CellPaths {
  readonly base: string;

  constructor(chroot: string, root: string, cell: string) {
    this.base = `${chroot}${normalPath(root)}${normalPath(cell)}`;
  }

  /** Every ancestor of the cell and the cell itself, outermost first. */
  ancestors(): string[] {
    const parts = this.base.split("/").slice(1);
    return parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
  }

  get uuid(): string {
    return `${this.base}/uuid`;
  }
  get epoch(): string {
    return `${this.base}/epoch`;
  }
  get leader(): string {
    return `${this.base}/leader`;
  }
  get inSync(): string {
    return `${this.base}/in-sync`;
  }
  get watermarks(): string {
    return `${this.base}/watermarks`;
  }
  get members(): string {
    return `${this.base}/members`;
  }
  get topics(): string {
    return `${this.base}/topics`;
  }

  member(nodeId: string): string {
    return `${this.members}/${segment(nodeId)}`;
  }

  topic(name: string): string {
    return `${this.topics}/${segment(name)}`;
  }
}

/** "." and ".." are the two names that percent-encoding leaves and ZooKeeper refuses. */
function segment(name: string): string {
  return encodeURIComponent(name).replace(/^\.{1,2}$/, (dots) => dots.replaceAll(".", "%2E"));
}
