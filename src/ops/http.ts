/**
 * The node's HTTP port: /livez, /readyz, /metrics, /status, /task?id=…. Read-only, loopback by default. It answers from
 * the moment the process listens, so that a node that waits for its peers can say so.
 */
import { type Address, formatAddress } from "../config/option-types.ts";
import { describeError, listenError } from "../errors.ts";
import type { NodeMetrics } from "./metrics.ts";
import { type NodeStatus, readiness, startingText } from "./node-status.ts";
import type { NodeTaskAnswer } from "./task.ts";

export interface HttpOptions {
  readonly listen: Address;
  /** The node now; null while it is starting. */
  readonly status: () => NodeStatus | null;
  /** What it knows of a task; null while it is starting. */
  readonly task?: (id: string) => NodeTaskAnswer | null;
  /** While it is starting: what it cannot go on without, "" when nothing is known. */
  readonly startingOn?: () => string;
  readonly metrics: NodeMetrics;
  /** Why this process should be restarted, "" when it should not. */
  readonly dead?: () => string;
}

export interface HttpServer extends AsyncDisposable {
  /** The port that was opened: another one than asked for when that was 0. */
  readonly port: number;
  close(): Promise<void>;
}

const PATHS = ["/livez", "/readyz", "/metrics", "/status", "/task?id=…"];

/** Requests have no body; a client that sends one is cut off here. */
const REQUEST_BYTES_MAX = 4_096;
const IDLE_SECONDS = 10;

/** @throws VouchError "configuration" when the address cannot be opened. */
export function openHttp(options: HttpOptions): HttpServer {
  const get = (answer: () => Response | Promise<Response>): { GET: () => Response | Promise<Response> } => ({
    GET: answer,
  });
  let server: ReturnType<typeof Bun.serve>;
  try {
    server = Bun.serve({
      hostname: options.listen.host,
      port: options.listen.port,
      idleTimeout: IDLE_SECONDS,
      maxRequestBodySize: REQUEST_BYTES_MAX,
      development: false,
      // Without this, `development: false` shares the port with whoever has it, and requests go to either of the two.
      reusePort: false,
      routes: {
        "/livez": get(() => livez(options.dead?.() ?? "")),
        "/readyz": get(() => readyz(options.status(), options.startingOn?.() ?? "")),
        "/status": get(() => status(options.status(), options.startingOn?.() ?? "")),
        "/metrics": get(() => metrics(options)),
        "/task": { GET: (request) => task(options, new URL(request.url).searchParams.get("id") ?? "") },
      },
      fetch: (request) =>
        request.method === "GET" ? json(404, { error: "not found", paths: PATHS }) : json(405, { error: "only GET" }),
      error: (error) => json(500, { error: describeError(error) }),
    });
  } catch (error) {
    throw listenError("http-listen", formatAddress(options.listen), error);
  }
  const close = async (): Promise<void> => {
    await server.stop(true);
  };
  return { port: server.port ?? options.listen.port, close, [Symbol.asyncDispose]: close };
}

function json(code: number, body: unknown): Response {
  return Response.json(body, { status: code, headers: { "cache-control": "no-store" } });
}

function livez(reason: string): Response {
  return json(reason === "" ? 200 : 503, { ok: reason === "", reason });
}

function readyz(node: NodeStatus | null, startingOn: string): Response {
  const checks = readiness(node, startingOn);
  const ok = checks.every((check) => check.ok);
  return json(ok ? 200 : 503, {
    ok,
    role: node?.core.role ?? "starting",
    waitingFor: node?.core.waitingFor ?? startingOn,
    checks,
  });
}

function status(node: NodeStatus | null, startingOn: string): Response {
  return node === null ? json(503, { error: startingText(startingOn) }) : json(200, node);
}

function task({ task: look, startingOn }: HttpOptions, id: string): Response {
  if (id === "") return json(400, { error: "which task? expected /task?id=<task id, or topic:partition:offset>" });
  const answer = look?.(id) ?? null;
  return answer === null ? json(503, { error: startingText(startingOn?.() ?? "") }) : json(200, answer);
}

async function metrics(options: HttpOptions): Promise<Response> {
  const text = await options.metrics.scrape(options.status());
  return new Response(text, { headers: { "content-type": options.metrics.contentType, "cache-control": "no-store" } });
}
