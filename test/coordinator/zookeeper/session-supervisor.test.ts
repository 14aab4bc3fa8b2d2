/** The supervisor's decisions, by script and by random walks: no sockets, no timers. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  SessionSupervisor,
  type SessionTicket,
  type SupervisorAction,
  type SupervisorEvent,
} from "../../../src/coordinator/zookeeper/session-supervisor.ts";

const T = 6_000;

function ticketOf(id: number, timeoutMs = T): SessionTicket {
  return { id: id.toString(16).padStart(16, "0"), password: "0".repeat(32), timeoutMs };
}

/** Actions as words, so that a script reads like a log. */
function words(action: SupervisorAction): string {
  switch (action.type) {
    case "connect":
      return `connect ${action.connection} to ${action.server}${action.resume === null ? "" : ` resuming ${Number(action.resume.id)}`}`;
    case "dispose":
    case "end-session":
    case "probe":
      return `${action.type} ${action.connection}`;
    case "connected":
      return `${action.resumed ? "resumed" : "connected"} ${Number(action.ticket.id)}`;
    case "failed":
      return `failed ${action.server}`;
    case "suspended":
    case "lost":
      return action.type;
    default:
      return action satisfies never;
  }
}

function script(
  serverCount = 2,
  random = 0,
): { step: (event: SupervisorEvent, nowMs: number) => string[]; supervisor: SessionSupervisor } {
  const supervisor = new SessionSupervisor({ serverCount, sessionMs: T, random: () => random });
  return { supervisor, step: (event, nowMs) => supervisor.step(event, nowMs).map(words) };
}

/** A live session 1 on connection 1 to server 0, opened at 0. */
function live(serverCount = 2): ReturnType<typeof script> {
  const made = script(serverCount);
  expect(made.step({ type: "open" }, 0)).toEqual(["connect 1 to 0"]);
  expect(made.step({ type: "handshake", connection: 1, ticket: ticketOf(1) }, 5)).toEqual(["connected 1"]);
  return made;
}

describe("session supervisor", () => {
  test("Z1: probes go out every sixth; one that is unanswered for a third sends it to the next server", () => {
    const { step } = live();
    expect(step({ type: "time" }, 5)).toEqual(["probe 1"]);
    expect(step({ type: "answered", connection: 1, sentAtMs: 5 }, 8)).toEqual([]);
    expect(step({ type: "time" }, 1_005)).toEqual(["probe 1"]);
    expect(step({ type: "time" }, 2_005)).toEqual(["probe 1"]);
    expect(step({ type: "time" }, 3_004)).toEqual([]);
    expect(step({ type: "time" }, 3_005)).toEqual(["failed 0", "dispose 1", "suspended", "connect 2 to 1 resuming 1"]);
  });

  test("Z2: a handshake that is not answered in time is given up for the next server", () => {
    const { step, supervisor } = script();
    step({ type: "open" }, 0);
    expect(supervisor.wakeAtMs).toBe(1_000);
    expect(step({ type: "time" }, 999)).toEqual([]);
    expect(step({ type: "time" }, 1_000)).toEqual(["failed 0", "dispose 1", "connect 2 to 1"]);
  });

  test("Z11: servers that take a connection and drop it again are asked less and less often", () => {
    const { step } = script(1, 1);
    step({ type: "open" }, 0);
    const waits: number[] = [];
    let now = 0;
    for (let connection = 1; connection <= 4; connection++) {
      step({ type: "handshake", connection, ticket: ticketOf(connection) }, now);
      const said = step({ type: "ended", connection, reason: "dropped" }, now);
      const began = now;
      while (!said.some((word) => word.startsWith("connect "))) said.push(...step({ type: "time" }, ++now));
      waits.push(now - began);
    }
    expect(waits[0]).toBe(0);
    expect(waits.slice(1)).toEqual(waits.slice(1).toSorted((a, b) => a - b));
    expect(waits[3]!).toBeGreaterThan(waits[1]!);
  });

  test("Z3: the deadline counts from the sending of the last answered request, and is final", () => {
    const { step, supervisor } = live();
    expect(supervisor.deadlineMs).toBe(4_000);
    step({ type: "answered", connection: 1, sentAtMs: 700 }, 900);
    expect(supervisor.deadlineMs).toBe(4_700);
    step({ type: "answered", connection: 1, sentAtMs: 300 }, 950);
    expect(supervisor.deadlineMs).toBe(4_700);
    expect(step({ type: "ended", connection: 1, reason: "cut" }, 1_000)).toEqual([
      "failed 0",
      "dispose 1",
      "suspended",
      "connect 2 to 1 resuming 1",
    ]);
    expect(step({ type: "time" }, 4_700)).toEqual(["lost", "dispose 2", "connect 3 to 0"]);
    expect(supervisor.deadlineMs).toBe(Number.NEGATIVE_INFINITY);
    expect(step({ type: "handshake", connection: 3, ticket: ticketOf(2) }, 4_800)).toEqual(["connected 2"]);
  });

  test("Z3: who slept past the deadline has lost the session, whatever lies in the socket", () => {
    const { step } = live();
    expect(step({ type: "answered", connection: 1, sentAtMs: 3_999 }, 4_000)).toEqual([
      "lost",
      "dispose 1",
      "connect 2 to 1",
    ]);
  });

  test("a loop that was blocked reads its socket before it calls the server silent", () => {
    const { step } = live();
    step({ type: "time" }, 5); // probe
    expect(step({ type: "time" }, 2_500)).toEqual(["probe 1"]);
    expect(step({ type: "answered", connection: 1, sentAtMs: 5 }, 2_501)).toEqual([]);
    const silent = live();
    silent.step({ type: "time" }, 5);
    expect(silent.step({ type: "time" }, 2_500)).toEqual(["probe 1"]);
    expect(silent.step({ type: "time" }, 3_000)).toContain("suspended");
  });

  test("Z6: a handshake with another session id, or a refusal, is the loss of the session", () => {
    const { step } = live();
    step({ type: "ended", connection: 1, reason: "cut" }, 10);
    expect(step({ type: "handshake", connection: 2, ticket: ticketOf(9) }, 20)).toEqual(["lost", "connected 9"]);
    const other = live();
    other.step({ type: "ended", connection: 1, reason: "cut" }, 10);
    expect(other.step({ type: "expired", connection: 2 }, 20)).toEqual(["lost", "dispose 2", "connect 3 to 0"]);
  });

  test("events of an older connection change nothing", () => {
    const { step, supervisor } = live();
    step({ type: "ended", connection: 1, reason: "cut" }, 10);
    const before = supervisor.deadlineMs;
    expect(step({ type: "ended", connection: 1, reason: "cut" }, 11)).toEqual([]);
    expect(step({ type: "expired", connection: 1 }, 11)).toEqual([]);
    expect(step({ type: "handshake", connection: 1, ticket: ticketOf(5) }, 11)).toEqual([]);
    expect(step({ type: "answered", connection: 1, sentAtMs: 11 }, 11)).toEqual([]);
    expect(supervisor.deadlineMs).toBe(before);
  });

  test("Z11: every server is tried at once, then after waits that double up to a limit, with jitter", () => {
    const waits = (random: number): number[] => {
      const { step, supervisor } = script(2, random);
      step({ type: "open" }, 0);
      const found: number[] = [];
      let nowMs = 0;
      for (let connection = 1; connection <= 20; connection++) {
        step({ type: "ended", connection, reason: "refused" }, nowMs);
        found.push(supervisor.wakeAtMs - nowMs);
        nowMs = supervisor.wakeAtMs;
        if (connection > 1) step({ type: "time" }, nowMs);
        else nowMs = 0;
      }
      return found;
    };
    expect(waits(0).slice(1, 6)).toEqual([25, 25, 50, 50, 100]);
    expect(waits(0).at(-1)).toBe(1_000);
    expect(waits(0.999).at(-1)).toBeGreaterThan(1_990);
  });

  test("close ends the session where there is one, and nothing follows", () => {
    const { step, supervisor } = live();
    expect(step({ type: "close" }, 10)).toEqual(["end-session 1"]);
    expect(step({ type: "open" }, 11)).toEqual([]);
    expect(step({ type: "time" }, 99_999)).toEqual([]);
    expect(supervisor.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
    const connecting = script();
    connecting.step({ type: "open" }, 0);
    expect(connecting.step({ type: "close" }, 1)).toEqual(["dispose 1"]);
  });

  test("any order of events: one connection at a time, a session is lost once, and none outlives its deadline", () => {
    const events = fc.array(
      fc.record({
        kind: fc.constantFrom("time", "handshake", "foreign", "expired", "answered", "ended", "stale", "wake"),
        afterMs: fc.integer({ min: 0, max: 2_500 }),
      }),
      { maxLength: 120 },
    );
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 3 }), (steps, serverCount) => walk(steps, serverCount)),
      {
        numRuns: 400,
      },
    );
  });
});

/** Plays a random history against the supervisor and checks after each step what must always hold. */
function walk(steps: readonly { kind: string; afterMs: number }[], serverCount: number): void {
  const supervisor = new SessionSupervisor({ serverCount, sessionMs: T, random: () => 0.5 });
  let nowMs = 0;
  let current = 0; // the open connection; 0: none
  let session: string | null = null;
  let sessions = 0;
  let sentAtMs = 0;
  const take = (event: SupervisorEvent): void => {
    for (const action of supervisor.step(event, nowMs)) {
      if (action.type === "connect") {
        expect(current).toBe(0);
        expect(action.resume?.id ?? null).toBe(session);
        current = action.connection;
        sentAtMs = nowMs;
      }
      if (action.type === "dispose") {
        expect(action.connection).toBe(current);
        current = 0;
      }
      if (action.type === "probe") expect(action.connection).toBe(current);
      if (action.type === "lost") {
        expect(session).not.toBeNull();
        session = null;
      }
      if (action.type === "connected") {
        expect(action.resumed).toBe(session === action.ticket.id);
        session = action.ticket.id;
      }
    }
    expect(supervisor.ticket?.id ?? null).toBe(session);
    if (session !== null) expect(supervisor.deadlineMs).toBeGreaterThan(nowMs);
    // It always has something to wait for: it cannot get stuck.
    expect(supervisor.wakeAtMs).toBeLessThan(nowMs + T);
  };
  take({ type: "open" });
  for (const { kind, afterMs } of steps) {
    nowMs = kind === "wake" ? Math.max(nowMs, supervisor.wakeAtMs) : nowMs + afterMs;
    if (kind === "time" || kind === "wake") take({ type: "time" });
    if (kind === "handshake" || kind === "foreign") {
      // A server answers with the session that was asked for, or (foreign) with a new one.
      const known = kind === "handshake" && session !== null && nowMs < supervisor.deadlineMs;
      const ticket = known && supervisor.ticket !== null ? supervisor.ticket : ticketOf(++sessions);
      take({ type: "handshake", connection: current, ticket });
    }
    if (kind === "expired") take({ type: "expired", connection: current });
    if (kind === "answered") take({ type: "answered", connection: current, sentAtMs: Math.max(sentAtMs, nowMs - 1) });
    if (kind === "ended") take({ type: "ended", connection: current, reason: "cut" });
    if (kind === "stale") take({ type: "ended", connection: current - 1, reason: "old" });
  }
}
