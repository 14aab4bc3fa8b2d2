/**
 * A mail server on loopback, for trying: it takes whatever it gets, also twice, and answers no questions. Only its log, for
 * people, shows what was sent; it is behind. SLOW_EVERY=n: each n-th message is sent in time and answered too late.
 */
const url = new URL(process.env["MAIL_URL"] ?? "http://127.0.0.1:7610");
const slowEvery = Number(process.env["SLOW_EVERY"] ?? 333);
const failEvery = Number(process.env["FAIL_EVERY"] ?? 50);
const answerLateMs = 3_000;
const logEveryMs = Number(process.env["LOG_EVERY_MS"] ?? 5_000);

const sent = new Map<string, number>(); // mailbox -> messages
const seen = { requests: 0, refused: 0, late: 0, unanswered: 0 };
let log = ""; // mailboxes, one a line: what the postmaster sees

Bun.serve({
  hostname: url.hostname,
  port: url.port,
  idleTimeout: 0, // "GET /report?after=" waits as long as it takes
  routes: {
    "/messages": { POST: take },
    "/log": () => new Response(log),
    "/report": async (request) => {
      const after = Number(new URL(request.url).searchParams.get("after") ?? 0);
      while (sent.size < after) await Bun.sleep(20);
      return new Response(report());
    },
  },
});
setInterval(() => (log = [...sent.keys()].map((to) => `${to}\n`).join("")), logEveryMs);
console.log(`a mail server listens on ${url.origin}`);

async function take(request: Request): Promise<Response> {
  const number = ++seen.requests;
  const { to } = (await request.json()) as { to: string };
  if (number % failEvery === 0) {
    seen.refused++;
    return new Response("busy: not taken", { status: 503 });
  }
  const late = number % slowEvery === 0;
  if (late) seen.late++;
  else request.signal.addEventListener("abort", () => seen.unanswered++);
  await Bun.sleep(30 + Math.random() * 60);
  if (request.signal.aborted) return new Response("gone"); // its client went away before the end of the message
  sent.set(to, (sent.get(to) ?? 0) + 1);
  await Bun.sleep(late ? answerLateMs : 10 + Math.random() * 60);
  return new Response("taken");
}

function report(): string {
  const rows: [string, number][] = [
    ["mailboxes reached", sent.size],
    ["reached twice", [...sent.values()].filter((times) => times > 1).length],
    ["clients gone before their answer", seen.unanswered],
    ["sent, but answered too late", seen.late],
    ["refused for a moment", seen.refused],
  ];
  return rows.map(([name, value]) => `${name.padEnd(34)}${String(value).padStart(10)}\n`).join("");
}
