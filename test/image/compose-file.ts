/** `compose.yaml` as the tests read it, and what of it the image test really runs. */
import { join } from "node:path";

export const PROJECT = join(import.meta.dir, "../..");

export interface ComposeService {
  readonly image: string;
  readonly build?: { readonly context: string; readonly target: string };
  readonly command?: readonly string[];
  readonly working_dir?: string;
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly stop_grace_period?: string;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly read_only?: boolean;
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

export async function readCompose(): Promise<ComposeFile> {
  return Bun.YAML.parse(await Bun.file(join(PROJECT, "compose.yaml")).text()) as ComposeFile;
}

/** The services that are built from this project: the nodes. */
export function nodeServices(compose: ComposeFile): [string, ComposeService][] {
  return Object.entries(compose.services).filter(([, service]) => service.build !== undefined);
}

/**
 * Commands of nodes that `test/image/main.ts` runs in the built image, as `compose.yaml` and the README give them. A
 * command that is in the file and not in this list was never run, and a test says so.
 */
export const NODE_COMMANDS: readonly (readonly string[])[] = [["run", "/tasks/payments.ts"]];

/** The same for health checks, with the route that each asks for. */
export const HEALTH_CHECKS: readonly { readonly command: readonly string[]; readonly route: string }[] = [
  { command: ["/usr/local/bin/vouch", "health", "--ready"], route: "/readyz" },
  { command: ["/usr/local/bin/vouch", "health"], route: "/livez" },
  { command: ["bun", "run", "/vouch/node.ts", "health"], route: "/livez" },
];
