/**
 * Two receivers of webhooks on loopback, for trying: `/shop` can be asked for an event, `/old` cannot. Both take whatever they
 * get, also twice. Each 40th delivery is refused for a moment, each 333rd is taken and answered too late.
 */
const url = new URL(process.env["RECEIVER_URL"] ?? "http://127.0.0.1:7620");
const failEvery = 40;
const slowEvery = 333;
const answerLateMs = 3_000;

const taken = { shop: new Map<string, number>(), old: new Map<string, number>() }; // event id -> how often
const seen = { deliveries: 0, refused: 0, late: 0, unanswered: 0, found: 0, notFound: 0 };

Bun.serve({
  hostname: url.hostname,
  port: url.port,
  idleTimeout: 0, // "GET /report?after=" waits as long as it takes
  routes: {
    "/shop": { POST: (request) => take(request, taken.shop) },
    "/shop/events/:id": ({ params }) => lookUp(decodeURIComponent(params.id)),
    "/old": { POST: (request) => take(request, taken.old) },
    "/old/inbox": () => new Response([...taken.old.keys()].map((id) => `${id}\n`).join("")), // for people
    "/report": async (request) => {
      const after = Number(new URL(request.url).searchParams.get("after") ?? 0);
      while (taken.shop.size + taken.old.size < after) await Bun.sleep(20);
      return new Response(report());
    },
  },
  fetch: () => new Response("nobody lives here", { status: 404 }),
});
console.log(`two receivers listen on ${url.origin}`);

async function take(request: Request, events: Map<string, number>): Promise<Response> {
  const number = ++seen.deliveries;
  const id = request.headers.get("webhook-id") ?? "";
  if (number % failEvery === 0) {
    seen.refused++;
    return new Response("not now", { status: 503 });
  }
  const late = number % slowEvery === 0;
  if (late) seen.late++;
  else request.signal.addEventListener("abort", () => seen.unanswered++);
  await Bun.sleep(30 + Math.random() * 60);
  events.set(id, (events.get(id) ?? 0) + 1);
  await Bun.sleep(late ? answerLateMs : 10 + Math.random() * 60);
  return new Response("taken");
}

function lookUp(id: string): Response {
  const found = taken.shop.has(id);
  seen[found ? "found" : "notFound"]++;
  return new Response(found ? "taken" : "no such event", { status: found ? 200 : 404 });
}

function report(): string {
  const all = [...taken.shop.values(), ...taken.old.values()];
  const rows: [string, number][] = [
    ["events taken by the shop", taken.shop.size],
    ["events taken by the old one", taken.old.size],
    ["taken twice", all.filter((times) => times > 1).length],
    ["senders gone before the answer", seen.unanswered],
    ["taken, but answered too late", seen.late],
    ["refused for a moment", seen.refused],
    ["look-ups: taken", seen.found],
    ["look-ups: not taken", seen.notFound],
  ];
  return rows.map(([name, value]) => `${name.padEnd(34)}${String(value).padStart(10)}\n`).join("");
}
