/** Asks nodes over HTTP for one of their JSON answers. A failure is an answer with an error, never an exception. */
import type { MemberInfo } from "../coordinator/coordinator.ts";
import { describeError } from "../errors.ts";

/** What one node answered: a body, or why there is none. */
export interface NodeReply {
  readonly nodeId: string; // as the coordinator lists it; "" when only its URL is known
  readonly url: string; // "" for a node without HTTP
  readonly body: unknown; // null with an error
  readonly error: string; // "" with a body
}

/** Asks all members at once for `path`. */
export async function askMembersFor(
  members: readonly MemberInfo[],
  path: string,
  timeoutMs: number,
): Promise<readonly NodeReply[]> {
  return Promise.all(
    members.map(async ({ nodeId, httpAddress }) => {
      if (httpAddress === "") return { nodeId, url: "", body: null, error: "this node has no HTTP port" };
      return { ...(await askUrlFor(`http://${httpAddress}`, path, timeoutMs)), nodeId };
    }),
  );
}

/** Asks one node by its base URL. */
export async function askUrlFor(url: string, path: string, timeoutMs: number): Promise<NodeReply> {
  const failed = (error: string): NodeReply => ({ nodeId: "", url, body: null, error });
  try {
    const response = await fetch(new URL(path, url), { signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok) return failed(await refusalOf(response));
    const body: unknown = await response.json();
    if (typeof body !== "object" || body === null) return failed(`${path} answered no object`);
    return { nodeId: "", url, body, error: "" };
  } catch (error) {
    return failed(failureText(error, url, timeoutMs));
  }
}

/** What `fetch` says of a refused connection names no address. */
function failureText(error: unknown, url: string, timeoutMs: number): string {
  if (error instanceof DOMException && error.name === "TimeoutError") return `no answer within ${timeoutMs} ms`;
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") return `nobody listens at ${new URL(url).host}`;
  return describeError(error);
}

/** A node that is starting says with what in the answer's `error`. */
async function refusalOf(response: Response): Promise<string> {
  const body = (await response.json().catch(() => null)) as { readonly error?: unknown } | null;
  const why = typeof body?.error === "string" ? `: ${body.error}` : "";
  return `answered ${response.status}${why}`;
}
