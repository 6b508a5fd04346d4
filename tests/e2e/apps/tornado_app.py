"""The same application as Tornado's own kind."""

from __future__ import annotations

import asyncio

import release
from tornado import web, websocket


class Index(web.RequestHandler):
    def get(self) -> None:
        self.write(release.answer())


class Status(web.RequestHandler):
    def get(self) -> None:
        self.set_status(release.health_status())
        self.write(release.answer())


class Slow(web.RequestHandler):
    async def get(self) -> None:
        await asyncio.sleep(min(float(self.get_query_argument("secs", "0")), 60.0))
        self.write(release.answer())


class Stream(web.RequestHandler):
    async def get(self) -> None:
        for second in range(int(self.get_query_argument("secs", "1"))):
            self.write(f"data: {second}\n\n")
            await self.flush()
            await asyncio.sleep(1)
        self.write("data: end\n\n")


class Echo(websocket.WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(message)


app = web.Application(
    [("/", Index), ("/_status", Status), ("/slow", Slow), ("/stream", Stream), ("/websocket", Echo)]
)
