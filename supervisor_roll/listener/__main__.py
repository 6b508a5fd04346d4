"""``python -m supervisor_roll.listener``: the loop of the event listener.

Standard output is the event-listener protocol's alone; what there is to say goes to standard
error, which supervisord keeps as the listener's log (``supervisorctl tail roll stderr``).
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import selectors
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Set
from functools import partial
from typing import Any, TypeVar

from supervisor_roll.listener.configuration import sections
from supervisor_roll.listener.configuration.sections import BadConfiguration
from supervisor_roll.listener.configuration.users import Users
from supervisor_roll.listener.configuration.watched import WatchedConfiguration
from supervisor_roll.listener.coordinator import Coordinator
from supervisor_roll.listener.edges.process_stat import supervised
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.listener.edges.readiness_socket import ReadinessSocket, told
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.edges.supervisord import Supervisord, SupervisordError
from supervisor_roll.listener.idle.handover import taken
from supervisor_roll.listener.idle.rest import Rest, idle_secs
from supervisor_roll.listener.in_service.agents import Agent, Agents
from supervisor_roll.listener.side_processes.side_processes import SideProcesses
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire import listener_protocol
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.mailbox import CONFIG_VARIABLE, HISTORY_VARIABLE, TOKEN_VARIABLE
from supervisor_roll.wire.printable import printable

log = logging.getLogger("supervisor_roll")
_T = TypeVar("_T")

# What fails in each pass of the loop must not make it spin.
FAILED_SECS = 1.0
# After so long there is a look at what had to wait for others.
HELD_BACK_SECS = 0.05
_DESCRIPTORS = 65536
_NEEDED = (
    (SOCKET_VARIABLE, "supervisord's configuration has no section [rpcinterface:roll]"),
    (CONFIG_VARIABLE, "supervisord's configuration has no section [rpcinterface:roll]"),
    (
        TOKEN_VARIABLE,
        "supervisord gives it only to an [eventlistener:] whose command has "
        "`-m supervisor_roll.listener` in it, as in conf.d/roll.conf",
    ),
    (
        "SUPERVISOR_SERVER_URL",
        "supervisord has neither a [unix_http_server] nor an "
        "[inet_http_server], or this does not run under supervisord",
    ),
)


class Lines(logging.Formatter):
    """What others say stays what it is: no control character, and no line that looks like ours."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n    ".join(map(printable, super().format(record).split("\n")))


def main(environ: Mapping[str, str]) -> int:
    """Run until supervisord closes standard input. Returns the exit status."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    for variable, otherwise in _NEEDED:
        if not environ.get(variable):
            log.error("%s is not set: %s", variable, otherwise)
            return 2
    path = environ[CONFIG_VARIABLE]
    try:
        handover = taken()
    except BadMessage as error:
        log.error("the listener starts anew: what it handed over is unusable: %s", error)
        return 1
    configuration = WatchedConfiguration(path)
    _log_bad_sections(configuration)
    _allow_descriptors()
    selector = selectors.DefaultSelector()
    supervisord = Supervisord(
        environ["SUPERVISOR_SERVER_URL"],
        *_credentials(path, environ),
        environ[TOKEN_VARIABLE],
    )
    try:
        pid = handover.supervisord if handover else supervisord.pid()
        readiness = ReadinessSocket(
            environ[SOCKET_VARIABLE],
            lambda one: supervised(one, pid),
            handover.bound if handover else (),
        )
    except SupervisordError as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error(
            "cannot listen in %s: %s; set socket= in [rpcinterface:roll] to a directory that "
            "this user may create",
            environ[SOCKET_VARIABLE],
            told(error, environ[SOCKET_VARIABLE]),
        )
        return 2
    table = ProcessTable(selector)
    coordinator = Coordinator(
        os.getpid(),
        supervisord,
        table,
        configuration,
        SideProcesses(selector),
        time.monotonic,
        time.time,
        partial(readiness.serve, told=True),
        readiness.barrier,
        environ.get(HISTORY_VARIABLE, ""),  # a supervisord of an earlier release has none
        environ[SOCKET_VARIABLE],
        SideProcesses(selector),
    )
    users = Users(configuration, pid)
    readiness.serve(users.configured() | users.running())
    selector.register(sys.stdin.buffer, selectors.EVENT_READ, "stdin")
    selector.register(readiness, selectors.EVENT_READ, readiness)
    os.set_blocking(0, False)
    if not handover:
        os.write(1, listener_protocol.READY)
    while True:
        try:
            coordinator.restore(handover.held if handover else ())
            break
        except SupervisordError as error:
            log.error("%s", error)
            if not handover:
                # supervisord restarts us, and nothing that we were told is lost.
                return 1
            time.sleep(FAILED_SECS)
    agents = Agents(selector, coordinator.agent_answer, coordinator.configuration)
    # To look through all of this for garbage takes 10 ms, in which a signal would wait.
    gc.collect()
    gc.freeze()
    rest = Rest(idle_secs(environ), pid, coordinator, readiness, table, agents)
    Loop(selector, coordinator, readiness, users, rest, agents).run()
    return 0


class Loop:
    """Tells the coordinator what comes in. What fails costs no more than itself."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        coordinator: Coordinator,
        readiness: ReadinessSocket,
        users: Users,
        rest: Rest,
        agents: Agents,
    ) -> None:
        self._selector, self._coordinator = selector, coordinator
        self._readiness, self._users, self._rest = readiness, users, rest
        self._agents = agents
        self._events = listener_protocol.EventReader()
        self._failures: dict[str, Seldom] = {}
        self._failed = False

    def run(self) -> None:
        """Until supervisord has gone."""
        self._serve_agents()
        while True:
            self._failed = False
            self._guarded(self._coordinator.pump)
            ready = self._guarded(self._select) or []
            # All that was said until now counts before any time passes, and what a worker said
            # before that it is gone.
            received = self._readiness.receive()
            while datagram := self._guarded(next, received, None):
                with datagram.share.spend():
                    self._guarded(self._coordinator.receive, datagram, again=False)
            for data in ready:
                if data not in ("stdin", self._readiness):
                    self._rest.put_off()
                if isinstance(data, InstanceId):
                    self._guarded(self._coordinator.exited, data)
                elif data == "stdin" and not self._read_events():
                    return
            # After all that may change what they are told.
            for data in ready:
                if isinstance(data, Agent):
                    self._guarded(self._agents.tell, data)
            self._guarded(self._agents.resume)
            self._guarded(self._rest.tick, self._events.partial)
            if self._failed:
                time.sleep(FAILED_SECS)

    def _select(self) -> list[Any]:
        deadlines = [
            self._coordinator.next_deadline(),
            self._rest.due_at,
            self._agents.next_deadline(),
        ]
        if self._readiness.held_back:
            deadlines.append(time.monotonic() + HELD_BACK_SECS)
        deadline = min((one for one in deadlines if one is not None), default=None)
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        return [key.data for key, _ in self._selector.select(timeout)]

    def _guarded(
        self, what: Callable[..., _T], *arguments: object, again: bool = True
    ) -> _T | None:
        """``what(*arguments)``; None if it fails, which is logged once a minute.

        ``again``: it will be tried again at once.
        """
        try:
            return what(*arguments)
        except Exception as error:  # noqa: BLE001 - the loop must go on, whatever it is
            self._failed = self._failed or again
            seldom = self._failures.setdefault(f"{what.__qualname__} {type(error)}", Seldom())
            seldom.warn("%s", "".join(traceback.format_exception(error)).rstrip())
            return None

    def _read_events(self) -> bool:
        """Acknowledge what supervisord has sent, at once. False if it has gone."""
        try:
            data = os.read(0, 65536)
            names = self._events.feed(data)
            for _ in names:
                os.write(1, listener_protocol.OK + listener_protocol.READY)
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        except BadMessage as error:
            log.error("supervisord: %s", error)
            return False
        for name in names:
            self._guarded(self._heard, name)
        if self._events.lost:
            self._events.lost = False
            self._coordinator.processes_changed()
            self._coordinator.rung()
        return bool(data)

    def _heard(self, name: str) -> None:
        """supervisord sent an event: look after the sockets at this occasion."""
        if name == listener_protocol.ANNOUNCEMENT:
            return
        if not name.startswith("TICK_"):
            self._rest.put_off()
        if name == "REMOTE_COMMUNICATION":
            self._coordinator.rung()
        elif name.startswith("PROCESS_"):
            self._coordinator.processes_changed()
        wanted: Set[int] = self._users.configured()
        if not name.startswith("PROCESS_"):
            wanted = wanted | self._users.running()
        self._readiness.serve(wanted)
        self._readiness.check()
        self._serve_agents()

    def _serve_agents(self) -> None:
        self._agents.serve()
        troubles = (self._readiness.wrong, self._agents.trouble)
        self._coordinator.troubled("; ".join(filter(None, troubles)))


def _allow_descriptors() -> None:
    """Raise the limit: the sockets that are kept, and what waits to be closed, take some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _log_bad_sections(configuration: WatchedConfiguration) -> None:
    try:
        for bad in configuration().bad.values():
            log.error("%s", bad)
    except BadConfiguration as error:
        log.error("%s", error)


def _credentials(path: str, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """From this listener's environment, else from the configuration's HTTP server section."""
    username = environ.get("SUPERVISOR_USERNAME")
    password = environ.get("SUPERVISOR_PASSWORD")
    if username is not None and password is not None:
        return username, password
    try:
        username, password = sections.credentials(path, environ["SUPERVISOR_SERVER_URL"])
    except BadConfiguration as error:
        log.error("%s", error)
        return None, None
    if username is not None and password is None:
        log.error(
            "%s has the password only as a digest; set SUPERVISOR_USERNAME and "
            "SUPERVISOR_PASSWORD in environment= of this event listener",
            path,
        )
    return username, password


if __name__ == "__main__":
    sys.exit(main(os.environ))
