"""A real supervisord of one test's, with the mailbox in it and a listener that plays a script."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from xmlrpc.client import Fault

from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json
from tests.harness.folders import new_folder
from tests.harness.processes import kill_tree
from tests.harness.supervisord import Supervisord
from tests.harness.waiting import wait_until

USER, PASSWORD = "operator", "secret"
_SCRIPT = Path(__file__).with_name("scripted_listener.py")
# What supervisord takes for our listener: it gives it the token.
_AS_OURS = "/bin/sh -c 'exec {command}' -m supervisor_roll.listener"
SCRIPTED_LISTENER = _AS_OURS.replace("{command}", f"{sys.executable} {_SCRIPT} {{folder}}")
LATE_LISTENER = SCRIPTED_LISTENER.replace("{folder}", "{folder} late")
DEAF_LISTENER = _AS_OURS.replace("{command}", "sleep 1000")
PROGRAMS = """
[program:myapp]
command=sleep 1000
startsecs=0
[program:idle]
command=sleep 1000
autostart=false
[program:one]
command=sleep 1000
startsecs=0
[program:two]
command=sleep 1000
startsecs=0
[group:web]
programs=one,two
"""
_Got = TypeVar("_Got")


def wait_for(condition: Callable[[], _Got], secs: float = 15.0) -> _Got:
    """What ``condition`` gives as soon as that is true; supervisord's errors count as not yet."""
    return wait_until(condition, secs, not_yet=(OSError, HTTPException, Fault))


def environment(pid: int) -> dict[str, str]:
    """A child of supervisord's; empty before it has executed its command."""
    text = Path(f"/proc/{pid}/environ").read_text()
    found = dict(line.split("=", 1) for line in text.split("\0") if line)
    return found if "SUPERVISOR_ENABLED" in found else {}


class AsListener:
    """``AsListener(server, token).adopt("web")`` is ``server.roll.adopt(token, "web")``."""

    def __init__(self, server: Any, token: str) -> None:
        self._server, self._token = server, token

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return partial(getattr(self._server.roll, method), self._token)


class Supervised(Supervisord):
    """``listener`` is the event listener's command, "" for none. ``rpcinterface`` are more keys of
    [rpcinterface:roll], which is left out without ``roll``. ``python`` runs supervisord."""

    def __init__(
        self, listener: str, rpcinterface: str = "", roll: bool = True, python: str = sys.executable
    ) -> None:
        # A Unix socket's path has at most 107 bytes; pytest's own folders are longer.
        self.folder = new_folder("roll-", "/tmp")
        self.socket = self.folder / "s.sock"
        super().__init__(python, self.folder / "s.conf")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config.write_text(self._configuration(listener, rpcinterface, roll))

    def start(self) -> Supervised:
        """Start supervisord, and return as soon as it answers and its programs run."""
        self.launch()
        wait_for(
            lambda: all(
                self.info(name)["statename"] == "RUNNING"
                for name in ("myapp", "web:one", "web:two")
            )
        )
        return self

    def launch(self) -> None:
        self.launch_supervisord(self.folder / "out")

    def stop(self) -> None:
        """End it and its children at once: it would take its time, one program after the other."""
        if self.process is not None and self.process.poll() is None:
            kill_tree(self.process.pid)
            self.process.wait()
        shutil.rmtree(self.folder)

    @property
    def output(self) -> str:
        """What supervisord printed."""
        return (self.folder / "out").read_text()

    @property
    def server(self) -> Any:
        """supervisord's XML-RPC over the Unix socket."""
        return self.proxy(f"unix://{self.socket}")

    @property
    def inet_server(self) -> Any:
        """supervisord's XML-RPC over its other HTTP server."""
        return self.proxy(f"http://127.0.0.1:{self.port}", USER, PASSWORD)

    def info(self, name: str) -> dict[str, Any]:
        info: dict[str, Any] = self.server.supervisor.getProcessInfo(name)
        return info

    def environment(self, name: str) -> dict[str, str]:
        return wait_for(lambda: environment(self.info(name)["pid"]))

    # --- playing the listener oneself -----------------------------------------------------

    @property
    def token(self) -> str:
        """What the process of [eventlistener:roll] has in its environment."""
        return self.environment("roll")["SUPERVISOR_ROLL_TOKEN"]

    @property
    def listener(self) -> Any:
        """The methods that are the listener's alone, called with its token."""
        return AsListener(self.server, self.token)

    def exchange(self, server: Any = None, **said: Any) -> wire.Delivery:
        """Speak as the process of [eventlistener:roll] does."""
        said.setdefault("pid", self.info("roll")["pid"])
        text = to_json(wire.Exchange(**said))
        return from_json(wire.Delivery, (server or self.server).roll.exchange(self.token, text))

    def request(
        self, *names: str, kind: str = wire.ROLLOUT, server: Any = None, **values: str
    ) -> wire.Receipt:
        text = to_json(wire.Command(kind, list(names), values, "a test"))
        return from_json(wire.Receipt, (server or self.server).roll.request(text))

    def reports(self, job: str, since: int = 0, server: Any = None) -> wire.Reports:
        return from_json(wire.Reports, (server or self.server).roll.reports(job, since))

    # --- the scripted listener --------------------------------------------------------------

    def listens(self) -> bool:
        """Whether a listener has spoken and runs."""
        listener = from_json(wire.Overview, self.server.roll.status()).listener
        return listener is not None and listener.state == "RUNNING"

    def script(self, *steps: list[Any]) -> None:
        """What the scripted listener does with the next request: see scripted_listener.py."""
        self.script_by_kind(list(steps))

    def script_by_kind(self, steps: Any) -> None:
        """What it does with the requests of each kind."""
        (self.folder / "requests").write_text("")
        (self.folder / "new-script").write_text(json.dumps(steps))
        (self.folder / "new-script").rename(self.folder / "script")

    def allow(self, step: str) -> None:
        """Let the scripted listener pass its ["until", step]."""
        (self.folder / step).touch()

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests that the scripted listener has taken, with the event that told of each."""
        return [json.loads(line) for line in (self.folder / "requests").read_text().splitlines()]

    def _configuration(self, listener: str, rpcinterface: str, roll: bool) -> str:
        text = f"""
[supervisord]
logfile={self.folder}/log
pidfile={self.folder}/pid
childlogdir={self.folder}
[unix_http_server]
file={self.socket}
[inet_http_server]
port=127.0.0.1:{self.port}
username={USER}
password={PASSWORD}
[supervisorctl]
serverurl=unix://{self.socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[ctlplugin:roll]
supervisor.ctl_factory = supervisor_roll.ctl:make_plugin
{PROGRAMS}
"""
        if roll:
            text += (
                "[rpcinterface:roll]\nsupervisor.rpcinterface_factory ="
                f" supervisor_roll.rpc:make_rpcinterface\n{rpcinterface}\n"
            )
        if listener:
            command = listener.replace("{folder}", str(self.folder))
            text += (
                f"[eventlistener:roll]\ncommand={command}\nautorestart=true\nstartsecs=0\n"
                "events=REMOTE_COMMUNICATION,PROCESS_STATE,TICK_5\nbuffer_size=100\n"
                f"stderr_logfile={self.folder}/listener.log\n"
            )
        return text
