"""Which users run programs: each of them has a readiness socket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.edges.process_stat import pids_below
from supervisor_roll.listener.edges.process_user import Credentials


class Users:
    """Their ids, by the configuration and by what runs."""

    def __init__(self, configuration: Callable[[], Configuration], supervisord: int) -> None:
        self._configuration, self._supervisord = configuration, supervisord
        self._configured: frozenset[int] = frozenset()

    def configured(self) -> frozenset[int]:
        """Those that the configuration names, or named before it was bad."""
        with suppress(BadConfiguration):  # it is said where somebody asks for a rollout
            self._configured = self._configuration().users
        return self._configured

    def running(self) -> set[int]:
        """Those that supervisord's processes, and the children of these, run as now.

        Gunicorn's ``user`` makes its workers other users than their arbiter.
        """
        found = [Credentials.of_process(pid) for pid in pids_below(self._supervisord)]
        own = Credentials.of_process(self._supervisord)
        return {one.uid for one in [own, *found] if one is not None}
