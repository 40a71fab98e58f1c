// A handler for Rota in Node.js, without dependencies and without state: it works through a feed and keeps its place,
// and what it counts, only in Rota. Whenever it dies, the next attempt goes on from where the last success was.
//
//   node examples/cursor.mjs                     # listens on PORT (4000)
//
//   curl -X PUT http://localhost:8000/v1/tasks/feed -H 'Content-Type: application/json' -d '{
//     "handler": "http",
//     "target": {"url": "http://127.0.0.1:4000/", "kv": ["cursor"]},
//     "kv": {"cursor": 0},
//     "schedule": {"type": "interval", "every": "10s"}}'
//
//   curl http://localhost:8000/v1/tasks/feed/kv  # the cursor, and how many were handled

import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const OUTCOME = "application/vnd.rota.outcome+json";
const feed = Array.from({ length: Number(process.env.ITEMS ?? 100) }, (_, index) => `item ${index}`);

async function handle(item) {
  await sleep(3); // the work; it may be cut short, and be done again
  console.log(item);
}

// What Rota sends: {"input": …, "kv": {"cursor": 20}, "run": {"id": …, "attempt": 1, …}}
async function work({ kv }) {
  const items = feed.slice(kv.cursor, kv.cursor + 10);
  for (const item of items) await handle(item);
  return {
    result: { handled: items.length },
    kv: [
      // Both or neither. If another writer has moved the cursor meanwhile, neither, and the next attempt gets the new cursor.
      { op: "set", key: "cursor", value: kv.cursor + items.length },
      { op: "increment", key: "handled", by: items.length },
    ],
  };
}

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks));
}

const server = createServer(async (request, response) => {
  try {
    const outcome = await work(await read(request));
    response.writeHead(200, { "Content-Type": OUTCOME }).end(JSON.stringify(outcome));
  } catch (error) {
    response.writeHead(500).end(String(error)); // tried again by the task's `retry`
  }
});
server.listen(Number(process.env.PORT ?? 4000), "127.0.0.1");
