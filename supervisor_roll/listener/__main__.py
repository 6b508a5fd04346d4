"""``python -m supervisor_roll.listener``: the loop of the event listener.

Standard output is the event-listener protocol's alone; what there is to say goes to standard
error, which supervisord keeps as the listener's log (``supervisorctl tail roll stderr``).
"""

from __future__ import annotations

import logging
import os
import selectors
import sys
import time
from collections.abc import Mapping

from supervisor_roll.listener import configuration
from supervisor_roll.listener.configuration import BadConfiguration, Configuration
from supervisor_roll.listener.coordinator import Coordinator
from supervisor_roll.listener.process_table import ProcessTable
from supervisor_roll.listener.readiness_socket import ReadinessSocket
from supervisor_roll.listener.sides import Sides
from supervisor_roll.listener.supervisord import Supervisord, Unreachable
from supervisor_roll.rollout.errors import BadMessage
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.wire import eventlistener
from supervisor_roll.wire.datagram import SOCKET_VARIABLE
from supervisor_roll.wire.mailbox import TOKEN_VARIABLE

log = logging.getLogger("supervisor_roll")

# A burst of booting workers reads the configuration once.
CONFIGURATION_SECS = 1.0
_NEEDED = (
    (SOCKET_VARIABLE, "supervisord's configuration has no section [rpcinterface:roll]"),
    ("SUPERVISOR_ROLL_CONFIG", "supervisord's configuration has no section [rpcinterface:roll]"),
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


class _ConfigurationFile:
    """The configuration as of a moment ago."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._read_at = -CONFIGURATION_SECS
        self._found: Configuration | BadConfiguration | None = None

    def expire(self) -> None:
        """Read it anew when it is asked for next."""
        self._found = None

    def __call__(self) -> Configuration:
        now = time.monotonic()
        if self._found is None or now >= self._read_at + CONFIGURATION_SECS:
            self._read_at = now
            try:
                self._found = configuration.read(self.path)
            except BadConfiguration as error:
                self._found = error
        if isinstance(self._found, BadConfiguration):
            raise self._found.with_traceback(None)  # it would grow with each raise
        return self._found


def main(environ: Mapping[str, str]) -> int:
    """Run until supervisord closes standard input. Returns the exit status."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    for variable, otherwise in _NEEDED:
        if not environ.get(variable):
            log.error("%s is not set: %s", variable, otherwise)
            return 2
    path = environ["SUPERVISOR_ROLL_CONFIG"]
    read = _ConfigurationFile(path)
    _log_bad_sections(read)
    selector = selectors.DefaultSelector()
    try:
        readiness = ReadinessSocket(environ[SOCKET_VARIABLE])
    except OSError as error:
        log.error(
            "cannot listen on %s: %s; set socket= in [rpcinterface:roll] to a path that "
            "this user may create",
            environ[SOCKET_VARIABLE],
            error,
        )
        return 2
    supervisord = Supervisord(
        environ["SUPERVISOR_SERVER_URL"],
        *_credentials(path, environ),
        environ[TOKEN_VARIABLE],
    )
    coordinator = Coordinator(
        os.getpid(),
        supervisord,
        ProcessTable(selector),
        read,
        Sides(selector),
        time.monotonic,
        time.time,
        read.expire,
    )
    selector.register(sys.stdin.buffer, selectors.EVENT_READ, "stdin")
    selector.register(readiness, selectors.EVENT_READ, readiness)
    os.set_blocking(0, False)
    os.write(1, eventlistener.READY)
    try:
        coordinator.restore()
    except Unreachable as error:
        # supervisord restarts us, and nothing that we were told is lost.
        log.error("%s", error)
        return 1
    _loop(selector, coordinator)
    return 0


def _loop(selector: selectors.BaseSelector, coordinator: Coordinator) -> None:
    events = eventlistener.EventReader()
    while True:
        coordinator.pump()
        deadline = coordinator.next_deadline()
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = [key for key, _ in selector.select(timeout)]
        # What a worker said counts before that it is gone.
        for key in ready:
            if isinstance(key.data, ReadinessSocket):
                for datagram in key.data.receive():
                    coordinator.heard(datagram)
        for key in ready:
            if isinstance(key.data, InstanceId):
                coordinator.exited(key.data)
            elif key.data == "stdin" and not _events(events, coordinator):
                return


def _events(events: eventlistener.EventReader, coordinator: Coordinator) -> bool:
    """Acknowledge what supervisord has sent, at once. False if it has gone."""
    data = os.read(0, 65536)
    if not data:
        return False
    try:
        names = events.feed(data)
    except BadMessage as error:
        log.error("supervisord: %s", error)
        return False
    for name in names:
        os.write(1, eventlistener.OK + eventlistener.READY)
        coordinator.rung(processes_changed=name.startswith("PROCESS_"))
    return True


def _log_bad_sections(read: _ConfigurationFile) -> None:
    try:
        for bad in read().bad.values():
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
        username, password = configuration.credentials(path, environ["SUPERVISOR_SERVER_URL"])
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
