"""HAProxy and nginx as the documentation configures them, in front of three machines."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree

from tests.harness.configuration import free_port
from tests.harness.connections import refuses
from tests.harness.venvs import CHECKOUT
from tests.harness.waiting import wait_until

PAGE = CHECKOUT / "docs" / "several-machines.rst"
#: The machines of the page, and what they are here.
MACHINES = {f"10.0.0.{number}": f"127.0.0.{number + 1}" for number in (1, 2, 3)}
_NGINX = """\
user root;
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    {paths}
    include {folder}/web.conf;
}}
"""
_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def shown(begins: str) -> str:
    """The block of the page that begins so."""
    blocks = publish_doctree(PAGE.read_text()).findall(nodes.literal_block)
    (found,) = [text for one in blocks if (text := one.astext()).startswith(begins)]
    return found


class Balancers:
    """In front of programs that listen on ``port`` of each machine, their agents on ``agents``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.agents = (_free_everywhere() for _ in range(2))
        self.api = str(folder / "admin")
        self.haproxy, self.nginx = str(folder / "haproxy"), str(folder / "nginx")

    @contextmanager
    def run(self) -> Iterator[Balancers]:
        (self.folder / "haproxy.cfg").write_text(
            self._here(shown("global"), "bind :80", f"bind unix@{self.haproxy}")
        )
        web = self._here(shown("upstream"), "listen 80", f"listen unix:{self.nginx}")
        (self.folder / "web.conf").write_text(web)
        paths = [f"{one}_temp_path {self.folder}/{one};" for one in _PATHS]
        main = _NGINX.format(folder=self.folder, paths=" ".join(paths))
        (self.folder / "nginx.conf").write_text(main)
        commands = (
            ["haproxy", "-db", "-f", f"{self.folder}/haproxy.cfg"],
            ["nginx", "-p", str(self.folder), "-c", f"{self.folder}/nginx.conf"],
        )
        with (self.folder / "log").open("wb") as log:
            running = [
                subprocess.Popen(one, stdout=log, stderr=subprocess.STDOUT) for one in commands
            ]
        try:
            for one, address in zip(running, (self.haproxy, self.nginx), strict=True):
                wait_until(
                    lambda one=one, address=address: one.poll() is not None or not refuses(address),
                    30,
                    address,
                )
                assert one.poll() is None, (self.folder / "log").read_text()
            yield self
        finally:
            for one in running:
                one.terminate()
                one.wait(30)

    def _here(self, text: str, where: str, address: str) -> str:
        text = text.replace("/run/haproxy/admin.sock", self.api).replace(where, address)
        text = text.replace("agent-port 9101", f"agent-port {self.agents}")
        for there, here in MACHINES.items():
            text = text.replace(f"{there}:8000", f"{here}:{self.port}")
        return f"{text}\n"


def _free_everywhere() -> int:
    """A port that is free on each of the machines."""
    while True:
        port = free_port("127.0.0.2")
        if all(refuses((one, port)) for one in MACHINES.values()):
            return port
