"""The sockets that HAProxy's agent-check connects to, one for each program with ``agent_listen``.

Who connects is answered at once and never waited for, so that no client can take
more than its answer; and all of one socket's take no more than a share of the loop's time.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, BaseSelector

from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.seldom import Seldom
from supervisor_roll.listener.edges.share import Share

log = logging.getLogger("supervisor_roll")

MOST_AT_ONCE = 16
_BACKLOG = 64
# After so long it is looked whether a socket that was busy has its share again.
_HELD_SECS = 0.1
_FAILED_SECS = 1.0


class Agent:
    """Listens for one program. Raises OSError."""

    def __init__(self, name: str, address: tuple[str, int]) -> None:
        self.name, self.address, self.share = name, address, Share()
        self.namespecs: list[str] = []
        self.held_until = 0.0
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        socket.inet_pton(family, address[0])  # no name, which it would take time to look up
        self.socket = socket.create_server(address, family=family, backlog=_BACKLOG)
        self.socket.setblocking(False)

    def clients(self) -> list[socket.socket]:
        """Return some of those that have connected. Raises OSError."""
        found: list[socket.socket] = []
        with suppress(BlockingIOError, ConnectionAbortedError):
            while len(found) < MOST_AT_ONCE:
                found.append(self.socket.accept()[0])
                # With a timeout, as the listener's sockets have by default, Python waits for a
                # client that says nothing.
                found[-1].setblocking(False)
        return found


class Agents:
    """``answer`` gives the line for a program's processes; empty: none."""

    def __init__(
        self,
        selector: BaseSelector,
        answer: Callable[[list[str]], str],
        configuration: Callable[[], Configuration],
    ) -> None:
        self._selector, self._answer, self._configuration = selector, answer, configuration
        self._agents: dict[str, Agent] = {}
        self._failures = Seldom()
        self.trouble = ""  # why it cannot listen somewhere

    @property
    def listens(self) -> bool:
        return bool(self._agents)

    def serve(self) -> None:
        """Listen where the configuration says; where it cannot now, try again the next time."""
        try:
            configuration = self._configuration()
        except BadConfiguration:
            return  # it is said where somebody asks for a rollout
        wanted = {
            name: settings.agent_listen
            for name, settings in configuration.settings.items()
            if settings.agent_listen is not None
        }
        for name, agent in list(self._agents.items()):
            if name not in configuration.bad and wanted.get(name) != agent.address:
                self._hold(agent, 0.0)
                self._agents.pop(name).socket.close()
        troubles = []
        for name, address in wanted.items():
            if name not in self._agents:
                try:
                    self._agents[name] = agent = Agent(name, address)
                    self._selector.register(agent.socket, EVENT_READ, agent)
                except OSError as error:
                    where = f"{address[0]} port {address[1]}"
                    why = os.strerror(error.errno) if error.errno else str(error)
                    troubles.append(f"[roll:{name}] agent_listen: cannot listen at {where}: {why}")
        for name, agent in self._agents.items():
            agent.namespecs = configuration.namespecs(name)
        trouble = "; ".join(troubles)
        if trouble and trouble != self.trouble:
            log.warning("%s", trouble)
        self.trouble = trouble

    def tell(self, agent: Agent) -> None:
        """Answer those that have connected to it."""
        clients: list[socket.socket] = []
        try:
            with agent.share.spend():
                clients = agent.clients()
                line = self._answer(agent.namespecs).encode()
                for client in clients:
                    # With what it may have sent unread, a reset could overtake the answer.
                    with suppress(OSError):
                        client.recv(4096)
                    with suppress(OSError):
                        client.send(line)
        except OSError as error:
            self._failures.warn("[roll:%s] agent_listen: %s", agent.name, error)
            self._hold(agent, _FAILED_SECS)
        finally:
            for client in clients:
                client.close()
        if agent.share.is_spent:
            self._hold(agent, _HELD_SECS)

    def next_deadline(self) -> float | None:
        """When ``resume`` is due at the latest."""
        return min(
            (one.held_until for one in self._agents.values() if one.held_until), default=None
        )

    def resume(self) -> None:
        """Hear those again that had more than their share."""
        for agent in self._agents.values():
            if agent.held_until and time.monotonic() >= agent.held_until:
                agent.held_until = 0.0
                self._selector.register(agent.socket, EVENT_READ, agent)

    def _hold(self, agent: Agent, secs: float) -> None:
        if not agent.held_until:
            self._selector.unregister(agent.socket)
        agent.held_until = time.monotonic() + secs
