"""An ASGI app for uvicorn. The targets are the same in all three apps; `client.py` says what they do."""

import asyncio
import hashlib
import json
import re
import time

from pattern import parts


async def app(scope, receive, send):
    if scope["type"] == "http":
        await http(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(receive, send)
    elif scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


async def http(scope, receive, send):
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    kind, _, argument = scope["path"].strip("/").partition("/")

    async def answer(status, body, **more):
        names = [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
        await send({"type": "http.response.start", "status": status, "headers": names})
        for part in body if scope["method"] != "HEAD" else ():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    if kind == "bytes":
        length = int(argument)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", fields.get("range", ""))
        if asked:
            first, last = int(asked[1]), min(int(asked[2]), length - 1)
            more = {"content_length": str(last + 1 - first), "content_range": f"bytes {first}-{last}/{length}"}
            await answer(206, parts(last + 1, first), **more)
        else:
            await answer(200, parts(length), content_length=str(length))
    elif kind == "stream":
        await answer(200, parts(int(argument)))
    elif kind == "digest":
        sha, length, more = hashlib.sha256(), 0, True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            part, more = event.get("body", b""), event.get("more_body", False)
            sha.update(part)
            length += len(part)
        body = json.dumps({"length": length, "sha256": sha.hexdigest(), "method": scope["method"]}).encode()
        await answer(200, [body], content_length=str(len(body)))
    elif kind == "early":
        await answer(413, [b"enough"], content_length="6")
    elif kind == "status":
        await answer(int(argument), [], etag='"x"')
    elif kind == "fields":
        body = json.dumps(fields).encode()
        await answer(200, [body], content_length=str(len(body)))
    elif kind == "events":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for _ in range(int(argument)):
            event = f"data: {time.time_ns()}\n\n".encode()
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b""})
    else:
        await answer(404, [], content_length="0")


async def websocket(receive, send):
    """Sends every message back."""
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event.get("text") is not None:
            await send({"type": "websocket.send", "text": event["text"]})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
