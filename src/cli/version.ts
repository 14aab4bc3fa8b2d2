/** What `vouch --version` says. */
import packageJson from "../../package.json" with { type: "json" };

/** Put in by the build (`scripts/build.ts`): the commit of the sources, "" when it was not known. Absent in the sources. */
declare const VOUCH_COMMIT: string | undefined;

/** "0.1.0", and in an executable the commit that it was built from: "0.1.0 (0123456789ab)". */
export function versionText(): string {
  const commit = typeof VOUCH_COMMIT === "string" ? VOUCH_COMMIT : "";
  return commit === "" ? packageJson.version : `${packageJson.version} (${commit})`;
}
