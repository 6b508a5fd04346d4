"""What a worker says of itself with each message, and what only with some."""

from __future__ import annotations

import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from supervisor_roll.hooks.worker.reporter import WorkerReporter
from supervisor_roll.wire.datagram import (
    BOOTING,
    COUNTED,
    FAILED,
    LISTENING,
    LOADED,
    MEASURED,
    READY,
    UNREADY,
)
from supervisor_roll.wire.places import PLACES, RUNS


class Application(BaseApplication):
    def load_config(self) -> None:
        self.cfg.set("bind", ["127.0.0.1:8000"])


@pytest.fixture
def reporter() -> WorkerReporter:
    app = Application()
    server = Arbiter(app)
    return WorkerReporter(server, Worker(7, 1, [], app, 30, app.cfg, server.log))


@pytest.mark.parametrize("kind", [BOOTING, LOADED, READY, UNREADY, LISTENING])
def test_it_describes_itself_as_it_comes_to_serve(reporter: WorkerReporter, kind: str) -> None:
    fields = reporter.message(kind, MORE="1").fields
    assert {"AGE", "CHANGES", "WORKERS", "SURPLUS", "GUNICORN", "BINDS", "MORE"} < fields.keys()
    assert {PLACES, RUNS} < fields.keys()
    assert (fields["AGE"], fields["BINDS"]) == ("7", "127.0.0.1:8000")


@pytest.mark.parametrize("kind", [MEASURED, COUNTED, FAILED])
def test_what_it_says_later_is_short(reporter: WorkerReporter, kind: str) -> None:
    fields = reporter.message(kind, MORE="1").fields
    assert fields == {"AGE": "7", "CHANGES": "0", "WORKERS": "0", "SURPLUS": "0", "MORE": "1"}
