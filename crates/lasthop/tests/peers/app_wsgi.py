"""A WSGI app for gunicorn's sync workers. The targets are the same in all three apps; `client.py` says what they do."""

import hashlib
import json
import re
import time

from pattern import parts


def app(environ, start_response):
    path = environ["PATH_INFO"]
    method = environ["REQUEST_METHOD"]
    kind, _, argument = path.strip("/").partition("/")

    def answer(status, fields, body):
        start_response(status, fields)
        return [] if method == "HEAD" else body

    if kind == "bytes":
        length = int(argument)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", environ.get("HTTP_RANGE", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2]), length - 1)
            fields = [("Content-Length", str(last + 1 - first)), ("Content-Range", f"bytes {first}-{last}/{length}")]
            return answer("206 Partial Content", fields, parts(last + 1, first))
        return answer("200 OK", [("Content-Length", str(length))], parts(length))
    if kind == "stream":
        return answer("200 OK", [], parts(int(argument)))
    if kind == "digest":
        sha, length = hashlib.sha256(), 0
        while part := environ["wsgi.input"].read(65_536):
            sha.update(part)
            length += len(part)
        body = json.dumps({"length": length, "sha256": sha.hexdigest(), "method": method}).encode()
        return answer("200 OK", [("Content-Length", str(len(body)))], [body])
    if kind == "status":
        return answer(f"{argument} Said", [("ETag", '"x"')], [])
    if kind == "fields":
        seen = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
        body = json.dumps(seen).encode()
        return answer("200 OK", [("Content-Length", str(len(body)))], [body])
    if kind == "events":
        return answer("200 OK", [("Content-Type", "text/event-stream")], events(int(argument)))
    return answer("404 Not Found", [("Content-Length", "0")], [])


def events(count):
    """Server-sent events, each with the time at which it was written, in nanoseconds."""
    for _ in range(count):
        yield f"data: {time.time_ns()}\n\n".encode()
        time.sleep(0.1)
