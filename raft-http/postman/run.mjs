// Runs the collections as a driver would, against three nodes that it starts: `node raft-http/postman/run.mjs HTTPRAFT`.
// From each node on, 40 messages of the original's routes, with the leader killed half-way; then /v1 on every node.
// A broken connection goes on with the next node, what was not said to be done is sent again, and at the end every
// message that was acknowledged stands in the log. Needs `npm install newman@6` in target/postman.

import assert from "node:assert";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const here = import.meta.dirname ?? new URL(".", import.meta.url).pathname;
const newman = createRequire(join(resolve("target/postman"), "index.js"))("newman");
const binary = resolve(process.argv[2] ?? "target/release/httpraft");
const MESSAGES = 40;
const NODES = 3;
const directory = mkdtempSync(join(tmpdir(), "httpraft-postman-"));
const running = new Map();

async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => done(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

function start(id) {
  const child = spawn(binary, [String(id)], { cwd: directory, stdio: "ignore" });
  running.set(id, child);
}

async function kill(id) {
  const child = running.get(id);
  running.delete(id);
  const gone = new Promise((done) => child.once("exit", done));
  child.kill("SIGKILL");
  await gone;
}

const collection = (name) => JSON.parse(readFileSync(join(here, `${name}.postman_collection.json`), "utf8"));

// One run of a collection, or of one of its items. What was answered, what it left in the environment, what failed.
function once(whole, values, folder) {
  const item = folder ? whole.item.filter((it) => it.name === folder) : whole.item;
  const environment = { values: Object.entries(values).map(([key, value]) => ({ key, value, enabled: true })) };
  return new Promise((done, fail) => {
    const options = { collection: { ...whole, item }, environment, timeoutRequest: 15_000, reporters: [] };
    newman.run(options, (error, summary) => {
      if (error) return fail(error);
      const { executions, failures } = summary.run;
      const replies = executions.map((it) => it.response?.json?.bind(it.response));
      done({ replies, failures, leader: summary.environment.get("leader") });
    });
  });
}

// A request of the original's routes, until it is answered with what it asked for. How often it was sent.
async function insist(whole, folder, values, apis, from, enough) {
  const until = Date.now() + 30_000;
  let [node, leader] = [from, values.leader];
  for (let tries = 1; Date.now() < until; tries++) {
    const { replies, failures, leader: next } = await once(whole, { ...values, leader }, folder);
    const broken = replies[0] === undefined;
    assert(broken || failures.length === 0, JSON.stringify(failures.map((it) => it.error.message)));
    if (!broken && enough(replies[0]())) return { tries, leader: next, reply: replies[0]() };
    leader = next;
    if (broken) {
      node = (node + 1) % NODES;
      leader = apis[node];
    }
    await sleep(50);
  }
  throw new Error(`${folder} with ${JSON.stringify(values)} was not served within 30 s`);
}

async function leaderOf(apis) {
  for (;;) {
    for (const [id, api] of apis.entries()) {
      const status = await fetch(`http://${api}/v1/status`).then((it) => it.json()).catch(() => undefined);
      if (status?.role === "leader") return id;
    }
    await sleep(50);
  }
}

async function original(apis) {
  const [log, kv] = [collection("log"), collection("kv")];
  for (let first = 0; first < NODES; first++) {
    let [leader, tries, killed] = [apis[first], 0, undefined];
    for (let number = 0; number < MESSAGES; number++) {
      if (number === MESSAGES / 2) {
        killed = await leaderOf(apis);
        await kill(killed);
      }
      const values = { leader, message: `from ${first}: ${number}`, key: `key ${first}` };
      const said = await insist(log, "append", values, apis, first, (it) => it.success);
      const put = await insist(kv, "put", { ...values, leader: said.leader }, apis, first, (it) => "index" in it);
      tries += said.tries + put.tries;
      leader = put.leader;
    }
    const { reply } = await insist(kv, "get", { leader, key: `key ${first}` }, apis, first, (it) => "value" in it);
    assert.equal(reply.value, `from ${first}: ${MESSAGES - 1}`);
    const { reply: all } = await insist(log, "log", { leader }, apis, first, (it) => it.success);
    const entries = new Set(all.entries.map((it) => it.entry));
    for (let number = 0; number < MESSAGES; number++) {
      assert(entries.has(`from ${first}: ${number}`), `message ${number} from ${first} is not in the log`);
    }
    console.log(`from node ${first}: ${MESSAGES} messages and puts in ${tries} requests, node ${killed} killed half-way`);
    start(killed);
    await ready(apis);
  }
}

async function ready(apis) {
  for (const api of apis) {
    while (!(await fetch(`http://${api}/readyz`).then((it) => it.ok).catch(() => false))) await sleep(50);
  }
}

async function v1(apis) {
  for (const [id, api] of apis.entries()) {
    await ready(apis);
    const whole = collection("v1");
    const { replies, failures } = await once(whole, { node: api, key: `v1-${id}` });
    assert.deepEqual(failures.map((it) => `${it.source?.name}: ${it.error.message}`), []);
    console.log(`/v1 on node ${id}: ${replies.length} requests as expected`);
  }
}

try {
  const ports = await freePorts(2 * NODES);
  const [peers, apis] = [ports.slice(0, NODES), ports.slice(NODES)].map((it) => it.map((port) => `localhost:${port}`));
  writeFileSync(join(directory, "peers.json"), JSON.stringify({ peers, apis }));
  for (let id = 0; id < NODES; id++) start(id);
  await ready(apis);
  await original(apis);
  await v1(apis);
} finally {
  for (const child of running.values()) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
}
