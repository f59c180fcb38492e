"""Asks an app, through lasthop or directly, and checks what comes back: `client.py BASE CHECK...`.

The targets of the apps: `/bytes/N` N bytes with their length, and ranges of them; `/stream/N` the same without a length;
`/digest` the length and sha256 of the request's body; `/status/CODE`; `/fields` the request's fields as JSON;
`/events/N` N server-sent events with the time of writing; `/early` an answer that does not wait for the body;
`/ws` a WebSocket that sends every message back. Ends with status 1 and a traceback at the first difference.
"""

import hashlib
import http.client
import json
import socket
import sys
import time
import urllib.request
from urllib.parse import urlsplit

from pattern import digest, parts

SIZES = [0, 1, 1000, 16_384, 65_535, 65_536, 65_537, 300_000, 1_000_000]
# An event must be here so soon after the app has written it.
EVENT_SECONDS = 0.05


class Site:
    def __init__(self, base):
        self.base = base
        self.address = (urlsplit(base).hostname, urlsplit(base).port)

    def connection(self):
        return http.client.HTTPConnection(*self.address, timeout=15)

    def raw(self):
        return socket.create_connection(self.address, timeout=15)


def same(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


def read_digest(response):
    sha, length = hashlib.sha256(), 0
    while part := response.read(1 << 20):
        sha.update(part)
        length += len(part)
    return length, sha.hexdigest()


def cross(site, size):
    """A body of `size` bytes down with and without a length, up with a length and in chunks."""
    wanted = (size, digest(size))
    connection = site.connection()
    for target in (f"/bytes/{size}", f"/stream/{size}"):
        connection.request("GET", target)
        response = connection.getresponse()
        same(response.status, 200, target)
        same(read_digest(response), wanted, target)
    for chunked in (False, True):
        fields = {} if chunked else {"Content-Length": str(size)}
        connection.request("POST", "/digest", body=parts(size), headers=fields, encode_chunked=chunked)
        response = connection.getresponse()
        got = json.loads(response.read())
        same((got["length"], got["sha256"]), wanted, f"POST, chunked={chunked}")
    connection.close()


def small(site):
    for size in SIZES:
        cross(site, size)
        request = urllib.request.Request(f"{site.base}/digest", data=b"".join(parts(size)), method="PUT")
        with urllib.request.urlopen(request, timeout=15) as response:
            same(json.loads(response.read()), {"length": size, "sha256": digest(size), "method": "PUT"}, "PUT")


def head(site):
    connection = site.connection()
    for _ in range(3):
        connection.request("HEAD", "/bytes/5000")
        response = connection.getresponse()
        same((response.status, response.getheader("Content-Length"), response.read()), (200, "5000", b""), "HEAD")


def statuses(site):
    connection = site.connection()
    for status in (204, 304, 204, 404):
        connection.request("GET", f"/status/{status}" if status != 404 else "/nothing")
        response = connection.getresponse()
        same((response.status, response.read()), (status, b""), "status")


def ranges(site):
    connection = site.connection()
    whole = b"".join(parts(200_000))
    for first, last in ((0, 0), (10, 19), (65_000, 131_999), (199_999, 300_000)):
        connection.request("GET", "/bytes/200000", headers={"Range": f"bytes={first}-{last}"})
        response = connection.getresponse()
        same(response.status, 206, "range")
        same(response.getheader("Content-Range"), f"bytes {first}-{min(last, 199_999)}/200000", "range")
        same(response.read() == whole[first : last + 1], True, f"the bytes of {first}-{last}")


def keepalive(site):
    """All on one connection, though the app may close its own after each answer."""
    connection = site.connection()
    connection.connect()
    first = connection.sock
    for n in range(100):
        if n % 2:
            connection.request("POST", "/digest", body=b"x" * n)
        else:
            connection.request("GET", f"/bytes/{n}")
        response = connection.getresponse()
        same(response.status, 200, f"request {n}")
        response.read()
    same(connection.sock is first, True, "the connection is the first one")


def events(site):
    """Each event is here soon after it was written: the quickest of the later ones counts on a busy machine."""
    connection = site.connection()
    connection.request("GET", "/events/5")
    response = connection.getresponse()
    delays = []
    while line := response.readline():
        if line.startswith(b"data: "):
            delays.append(time.time() - int(line[6:]) / 1e9)
    same(len(delays), 5, "events")
    if sorted(delays)[2] > EVENT_SECONDS:
        raise AssertionError(f"events came {delays} seconds after they were written")
    if delays[0] > 2 * EVENT_SECONDS:
        raise AssertionError(f"the first event came {delays[0]} seconds after it was written")


def pipelining(site):
    with site.raw() as raw:
        raw.sendall(b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(50)))
        stream = raw.makefile("rb")
        for n in range(50):
            same(stream.readline().split()[1], b"200", "status")
            length = None
            while (line := stream.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            same(length, n, "the order of the answers")
            same(stream.read(n), b"".join(parts(n)), "the body")


def early(site):
    with site.raw() as raw:
        raw.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000)
        stream = raw.makefile("rb")
        same(stream.readline().split()[1], b"413", "an answer before the end of the upload")


def forwarded(site):
    connection = site.connection()
    connection.request("GET", "/fields", headers={"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"})
    got = json.loads(connection.getresponse().read())
    host = f"{site.address[0]}:{site.address[1]}"
    wanted = {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": host, "host": host}
    same({name: got.get(name) for name in wanted}, wanted, "forwarding fields")


def websocket(site):
    from websockets.sync.client import connect

    with connect(site.base.replace("http", "ws") + "/ws", max_size=None, open_timeout=30) as ws:
        for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
            message = b"".join(parts(size))
            ws.send(message)
            same(ws.recv(timeout=30) == message, True, f"a binary message of {size} bytes")
        ws.send("text \N{SNOWMAN}")
        same(ws.recv(timeout=30), "text \N{SNOWMAN}", "a text message")


CHECKS = [small, head, statuses, ranges, keepalive, events, pipelining, early, forwarded, websocket]


def main(base, *names):
    site = Site(base)
    by_name = {check.__name__: check for check in CHECKS}
    names = list(names)
    while names:
        name = names.pop(0)
        begun = time.monotonic()
        if name == "large":
            cross(site, int(names.pop(0)))
        else:
            by_name[name](site)
        print(f"{name}: {time.monotonic() - begun:.2f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
