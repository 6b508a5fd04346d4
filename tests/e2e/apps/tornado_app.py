"""The same application as Tornado's own kind."""

from __future__ import annotations

import asyncio

import release
from tornado import web


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


app = web.Application([("/", Index), ("/_status", Status), ("/slow", Slow)])
