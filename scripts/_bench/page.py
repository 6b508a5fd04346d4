"""What the page costs supervisord: of a core, and of its memory."""

from __future__ import annotations

import argparse
import base64
import http.client
import os
import time
from typing import Any

import psutil

from tests.harness import Program, Site, free_port
from tests.harness.configuration import Inet

#: What a page asks for in a second, at the most.
A_SECOND = 4
MOST_SHARE, MOST_KIB = 0.01, 512


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "page",
        help="what the page costs supervisord, of a core and of its memory",
        description="Asks for the status of a program with 8 workers as fast as it is answered, "
        "over one connection as a browser does. Prints what CPU time supervisord takes for each "
        f"request, which share of a core {A_SECOND} a second are, and how its memory has grown.",
    )
    parser.add_argument("--requests", type=int, default=14400, help="an hour's (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the figures; 1 if it costs more than it should."""
    inet = Inet(free_port())
    site = Site(Program(workers=8, port=free_port()))
    site.write_conf("inet", inet.section)
    with site:
        supervisord = psutil.Process(site.supervisord_pid)
        asking = _Browser(inet)
        size = asking.get(options.requests // 10)  # until its memory has settled
        before, began = supervisord.memory_full_info().uss, _cpu_secs(supervisord)
        asking.get(options.requests)
        secs = (_cpu_secs(supervisord) - began) / options.requests
        grown = (supervisord.memory_full_info().uss - before) / 1024
        began = _cpu_secs(supervisord)
        time.sleep(10)
        idle = (_cpu_secs(supervisord) - began) / 10
    share = A_SECOND * secs
    print(f"load average {os.getloadavg()[0]:.1f}; an answer has {size} bytes")
    print(f"{1e6 * secs:.0f} us of CPU a request: {A_SECOND} a second are {share:.2%} of a core")
    print(f"(supervisord itself, with nobody who asks: {idle:.2%})")
    print(f"{grown:+.0f} KiB after {options.requests} requests")
    return 1 if share > MOST_SHARE or grown > MOST_KIB else 0


class _Browser:
    def __init__(self, inet: Inet) -> None:
        credentials = f"{inet.username}:{inet.password}".encode()
        self._headers = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", inet.port)

    def get(self, times: int) -> int:
        """Ask so often; the size of the last answer."""
        for _ in range(times):
            self._connection.request("GET", "/roll/status.json", headers=self._headers)
            answer = self._connection.getresponse()
            data = answer.read()
            assert answer.status == 200, data
        return len(data)


def _cpu_secs(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
