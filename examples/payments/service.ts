/**
 * A payment provider on loopback, for trying: it books whatever it is asked to book, also a second time under the same
 * reference, and it goes on booking when its client is gone. That is what makes a duplicate visible.
 *
 * SLOW_EVERY=n: each n-th payment is booked in time and answered too late. FAIL_EVERY=n: each n-th request is refused.
 */
const url = new URL(process.env["PROVIDER_URL"] ?? "http://127.0.0.1:7600");
const slowEvery = Number(process.env["SLOW_EVERY"] ?? 333);
const failEvery = Number(process.env["FAIL_EVERY"] ?? 50);
const answerLateMs = 3_000;

const bookings = new Map<string, number>(); // reference -> how often it was booked
const accounts = new Map<string, number>(); // account -> cents
const seen = { requests: 0, refused: 0, late: 0, unanswered: 0, found: 0, notFound: 0 };

Bun.serve({
  hostname: url.hostname,
  port: url.port,
  idleTimeout: 0, // "GET /report?after=" waits as long as it takes
  routes: {
    "/payments": { POST: pay },
    "/payments/:reference": ({ params }) => lookUp(decodeURIComponent(params.reference)),
    "/report": async (request) => {
      const after = Number(new URL(request.url).searchParams.get("after") ?? 0);
      while (bookings.size < after) await Bun.sleep(20);
      return new Response(report());
    },
  },
});
console.log(`a payment provider listens on ${url.origin}`);

async function pay(request: Request): Promise<Response> {
  const number = ++seen.requests;
  const { reference, account, cents } = (await request.json()) as { reference: string; account: string; cents: number };
  if (account === "closed") return new Response("this account is closed", { status: 422 });
  if (number % failEvery === 0) {
    seen.refused++;
    return new Response("busy: nothing was booked", { status: 503 });
  }
  const late = number % slowEvery === 0;
  if (late) seen.late++;
  else request.signal.addEventListener("abort", () => seen.unanswered++);
  await Bun.sleep(30 + Math.random() * 90);
  bookings.set(reference, (bookings.get(reference) ?? 0) + 1);
  accounts.set(account, (accounts.get(account) ?? 0) + cents);
  await Bun.sleep(late ? answerLateMs : Math.random() * 50);
  return new Response("booked");
}

/** From the same map that `pay` writes: whoever asks after a booking sees it. */
function lookUp(reference: string): Response {
  const booked = bookings.has(reference);
  seen[booked ? "found" : "notFound"]++;
  return new Response(booked ? "booked" : "no such payment", { status: booked ? 200 : 404 });
}

function report(): string {
  const twice = [...bookings.values()].filter((times) => times > 1).length;
  const cents = [...accounts.values()].reduce((sum, more) => sum + more, 0);
  const rows: [string, number][] = [
    ["payments", bookings.size],
    ["paid twice", twice],
    ["cents", cents],
    ["clients gone before their answer", seen.unanswered],
    ["booked, but answered too late", seen.late],
    ["refused for a moment", seen.refused],
    ["look-ups: paid", seen.found],
    ["look-ups: not paid", seen.notFound],
  ];
  return rows.map(([name, value]) => `${name.padEnd(34)}${String(value).padStart(10)}\n`).join("");
}
