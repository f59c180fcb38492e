// A Node app, on a Unix socket when a path is given. The targets are the same in all three apps; `client.py` says
// what they do.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as pass } from 'node:timers/promises';
import { parts } from './pattern.mjs';

const server = createServer(async (request, response) => {
  const [, kind, argument] = request.url.split('/');
  const json = (value) => {
    const body = JSON.stringify(value);
    response.writeHead(200, { 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  };
  const send = (bytes) => (request.method === 'HEAD' ? response.end() : Readable.from(bytes).pipe(response));

  if (kind === 'bytes') {
    const length = Number(argument);
    const asked = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (asked) {
      const [first, last] = [Number(asked[1]), Math.min(Number(asked[2]), length - 1)];
      response.writeHead(206, { 'Content-Length': last + 1 - first, 'Content-Range': `bytes ${first}-${last}/${length}` });
      send(parts(last + 1, first));
    } else {
      response.writeHead(200, { 'Content-Length': length });
      send(parts(length));
    }
  } else if (kind === 'stream') {
    send(parts(Number(argument)));
  } else if (kind === 'digest') {
    const sha = createHash('sha256');
    let length = 0;
    for await (const part of request) {
      sha.update(part);
      length += part.length;
    }
    json({ length, sha256: sha.digest('hex'), method: request.method });
  } else if (kind === 'early') {
    response.writeHead(413, { 'Content-Length': 6 });
    response.end('enough');
  } else if (kind === 'status') {
    response.writeHead(Number(argument), { ETag: '"x"' });
    response.end();
  } else if (kind === 'fields') {
    json(request.headers);
  } else if (kind === 'trailers') {
    request.resume();
    request.on('end', () => {
      response.writeHead(200, { Trailer: 'X-Back' });
      response.write('ok');
      response.addTrailers({ 'X-Back': request.trailers['x-sum'] ?? 'none' });
      response.end();
    });
  } else if (kind === 'events') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    for (let n = 0; n < Number(argument); n += 1) {
      response.write(`data: ${BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6))}\n\n`);
      await pass(100);
    }
    response.end();
  } else {
    response.writeHead(404, { 'Content-Length': 0 });
    response.end();
  }
});

// Any upgrade becomes an echo of bytes.
server.on('upgrade', (request, socket, early) => {
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n`);
  socket.write(early);
  socket.pipe(socket);
  socket.on('error', () => socket.destroy());
});

const path = process.argv[2];
server.listen(path ?? { port: 0, host: '127.0.0.1' }, () => {
  console.error(path ? `listening at ${path}` : `listening at http://127.0.0.1:${server.address().port}`);
});
