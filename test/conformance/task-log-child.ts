/** A member in a process of its own, to be stopped or killed by a signal. */
import { liveAlone } from "./task-log-lone-member.ts";
import { type ChildMemberSpec, openFromSpec } from "./task-log-spec.ts";

const { log, member } = JSON.parse(process.argv[2] ?? "") as ChildMemberSpec;
await liveAlone(openFromSpec(log), member, console.log, Bun.sleep);
