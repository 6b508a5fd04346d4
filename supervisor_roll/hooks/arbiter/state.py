"""What the arbiter remembers between its hooks, on its own Arbiter object."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from supervisor_roll.hooks import places
from supervisor_roll.hooks.arbiter.config_file import Configured
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.line import Line
from supervisor_roll.hooks.safely import safely
from supervisor_roll.hooks.shared_memory import ATTRIBUTE, ArbiterPage
from supervisor_roll.wire.places import Place

if TYPE_CHECKING:
    from supervisor_roll.hooks.arbiter.takeover import Takeover
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Listener

# What a count of workers is changed by, but for TTOU, HUP and Gunicorn's control socket.
TTIN = "TTIN"
LOSS = "a surplus worker is gone"
START = "what the listener says to an arbiter that starts"


class ArbiterState:
    """What our hooks remember in an arbiter. It hangs on the Arbiter and survives HUP."""

    def __init__(self) -> None:
        self.page = ArbiterPage()
        self.surplus_births = 0  # TTINs whose worker is yet to be forked
        self.hears_counts = False  # nworkers_changed is installed
        self.count_changes_by = ""  # one of the above, while it does
        # One for all that the arbiter waits for, so that its start is bounded as a whole.
        self.channel = Channel()
        self.line = Line()  # for its workers
        self.configured = Configured()
        self.places: list[Place] = []  # as of its start
        self.described = b""  # what its workers say of it (heritage)
        self.described_is_of: tuple[int, object] | None = None
        self.bounds_boots = False  # Gunicorn ends a boot at ``timeout``, as up to 21.2
        self.becomes_other_user = False  # a worker, once its hook post_fork has run
        self.drains = False  # its workers are of a class that needs a drain
        # As of the last fork.
        self.here: Place | None = None  # where ``chdir`` leads; None if it leads elsewhere now
        self.runs = ""  # the same as it is said
        self.booting = b""  # BOOTING of the worker to be forked; empty where ``here`` is None
        self.import_path: dict[str, str] = {}
        self.sockets: list[tuple[str, int]] = []  # that the listener keeps
        self.asked_for_sockets = False  # on_starting is installed, and has left nothing to others
        self.listening = False  # when_ready is installed too
        self.owns_paths = False  # Unix sockets are removed by our on_exit, not by Gunicorn
        self.handed_in: list[Listener] = []  # Gunicorn's sockets, as the listener last had them
        self.takeover: Takeover | None = None
        self.asked_to_retire = False  # in a worker's copy: it is to say that it is due
        self.guards_forks = False  # fork_guard covers the arbiter's spawn_worker

    def lower(self, server: Arbiter) -> None:
        """Want one worker less: a surplus one is gone, or never came."""
        if server.num_workers > 1:
            self.change_count(server, server.num_workers - 1, LOSS)

    def change_count(self, server: Arbiter, count: int, by: str) -> None:
        """Have Gunicorn want so many workers, and ``nworkers_changed`` know the reason."""
        self.count_changes_by = by
        try:
            server.num_workers = count
        finally:
            self.count_changes_by = ""

    @classmethod
    def of(cls, server: Arbiter) -> ArbiterState:
        state = getattr(server, ATTRIBUTE, None)
        if state is None:
            state = cls()
            setattr(server, ATTRIBUTE, state)
            # In a worker it is too late to say where the arbiter began.
            if getattr(server, "pid", None) in (None, 0, os.getpid()):
                safely(state.take_places, server)
        return state

    def take_places(self, server: Arbiter) -> None:
        self.places = places.of_arbiter(server)
