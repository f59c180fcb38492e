// Asks an app, through lasthop or directly, and checks what comes back: `client.mjs BASE CHECK...`.
// What the targets of the apps do is in `client.py`. Ends with status 1 and a trace at the first difference.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { digest, parts } from './pattern.mjs';

const SIZES = [0, 1, 1000, 16_384, 65_535, 65_536, 65_537, 300_000, 1_000_000];
// An event must be here so soon after the app has written it.
const EVENT_MILLISECONDS = 50;

const [base, ...names] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function request(method, target, headers = {}) {
  return http.request(`${base}${target}`, { method, headers, agent, timeout: 15_000 });
}

async function answered(asking) {
  const [response] = await once(asking, 'response');
  return response;
}

async function sum(stream) {
  const sha = createHash('sha256');
  let length = 0;
  for await (const part of stream) {
    sha.update(part);
    length += part.length;
  }
  return { length, sha256: sha.digest('hex') };
}

async function text(stream) {
  let all = '';
  for await (const part of stream) all += part;
  return all;
}

// A body of `size` bytes down with and without a length, up with a length and in chunks.
async function cross(size) {
  const wanted = { length: size, sha256: digest(size) };
  for (const target of [`/bytes/${size}`, `/stream/${size}`]) {
    const response = await answered(request('GET', target).end());
    assert.equal(response.statusCode, 200);
    assert.deepEqual(await sum(response), wanted, target);
  }
  for (const headers of [{ 'Content-Length': size }, { 'Transfer-Encoding': 'chunked' }]) {
    const asking = request('POST', '/digest', headers);
    const answer = answered(asking);
    await pipeline(Readable.from(parts(size)), asking);
    const got = JSON.parse(await text(await answer));
    assert.deepEqual(got, { ...wanted, method: 'POST' }, Object.keys(headers)[0]);
  }
}

const checks = {
  async small() {
    for (const size of SIZES) await cross(size);
  },

  // One connection for all of them, and several at once.
  async keepalive() {
    const ports = new Set();
    for (let n = 0; n < 100; n += 1) {
      const response = await answered(request('GET', `/bytes/${n}`).end());
      ports.add(response.socket.localPort);
      assert.equal((await sum(response)).length, n);
    }
    assert.equal(ports.size, 1, 'connections');
    const many = new http.Agent({ keepAlive: true, maxSockets: 20 });
    await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const response = await answered(http.get(`${base}/bytes/${n}`, { agent: many }));
        assert.deepEqual(await sum(response), { length: n, sha256: digest(n) });
      }),
    );
    many.destroy();
  },

  // The body is sent only once the app has said 100 Continue.
  async expect() {
    for (const size of [5, 500_000]) {
      const asking = request('POST', '/digest', { Expect: '100-continue', 'Content-Length': size });
      const answer = answered(asking);
      asking.flushHeaders();
      await once(asking, 'continue');
      await pipeline(Readable.from(parts(size)), asking);
      assert.equal(JSON.parse(await text(await answer)).sha256, digest(size));
    }
  },

  // Both ways: the app sends back in a trailer what it got in one.
  async trailers() {
    const asking = request('POST', '/trailers', { 'Transfer-Encoding': 'chunked', TE: 'trailers', Trailer: 'X-Sum', Connection: 'TE, keep-alive' });
    const answer = answered(asking);
    asking.write('some body');
    asking.addTrailers({ 'X-Sum': '42' });
    asking.end();
    const response = await answer;
    assert.equal(await text(response), 'ok');
    assert.equal(response.trailers['x-back'], '42');
  },

  // Each event is here soon after it was written: the middle one counts on a busy machine.
  async events() {
    const response = await answered(request('GET', '/events/5').end());
    const delays = [];
    for await (const part of response) {
      const now = performance.timeOrigin + performance.now();
      for (const [, written] of part.toString().matchAll(/data: (\d+)\n/g)) delays.push(now - Number(written) / 1e6);
    }
    assert.equal(delays.length, 5, 'events');
    const middle = [...delays].sort((a, b) => a - b)[2];
    assert.ok(middle < EVENT_MILLISECONDS && delays[0] < 2 * EVENT_MILLISECONDS, `events came after ${delays} ms`);
  },

  // The client most people use now: streams up and down.
  async fetch() {
    for (const size of [0, 1, 100_000, 2_000_000]) {
      const down = await fetch(`${base}/stream/${size}`);
      assert.deepEqual(await sum(down.body), { length: size, sha256: digest(size) });
      const up = await fetch(`${base}/digest`, { method: 'PUT', body: Readable.from(parts(size)), duplex: 'half' });
      assert.equal((await up.json()).sha256, digest(size));
    }
    const left = new AbortController();
    const slow = await fetch(`${base}/events/1000`, { signal: left.signal });
    await slow.body.getReader().read();
    left.abort();
    assert.equal((await fetch(`${base}/status/204`)).status, 204);
  },

  async upgrade() {
    const asking = http.get(`${base}/`, { headers: { Connection: 'Upgrade', Upgrade: 'echo' } });
    const [response, socket] = await once(asking, 'upgrade');
    assert.equal(response.headers.upgrade, 'echo');
    const size = 3_000_000;
    const back = sum(socket);
    for (const part of parts(size)) if (!socket.write(part)) await once(socket, 'drain');
    socket.end();
    assert.deepEqual(await back, { length: size, sha256: digest(size) });
  },
};

while (names.length > 0) {
  const name = names.shift();
  const begun = performance.now();
  await (name === 'large' ? cross(Number(names.shift())) : checks[name]());
  console.log(`${name}: ${((performance.now() - begun) / 1000).toFixed(2)} s`);
}
agent.destroy();
process.exit(0);
