"""What a worker says of itself with each message, and what only with some."""

from __future__ import annotations

import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from supervisor_roll.hooks.worker.reporter import WorkerReporter
from supervisor_roll.wire.datagram import decode, encode
from supervisor_roll.wire.messages import (
    Booting,
    Counted,
    Describing,
    Failed,
    FromWorker,
    Listening,
    Loaded,
    Measured,
    Ready,
    Unready,
)


class Application(BaseApplication):
    def load_config(self) -> None:
        self.cfg.set("bind", ["127.0.0.1:8000"])


@pytest.fixture
def reporter() -> WorkerReporter:
    app = Application()
    server = Arbiter(app)
    return WorkerReporter(server, Worker(7, 1, [], app, 30, app.cfg, server.log))


@pytest.mark.parametrize("kind", [Booting, Loaded, Ready, Unready, Listening])
def test_it_describes_itself_as_it_comes_to_serve(
    reporter: WorkerReporter, kind: type[Describing]
) -> None:
    said = decode(encode(reporter.message(kind)))
    assert isinstance(said, kind)
    assert {*Describing.fields} - {"unchecked"} == vars(said).keys()
    assert (said.age, said.binds) == (7, ("127.0.0.1:8000",))


@pytest.mark.parametrize(
    ("kind", "more"), [(Measured, {"requests": 5}), (Counted, {}), (Failed, {"error": "Oops"})]
)
def test_what_it_says_later_is_short(
    reporter: WorkerReporter, kind: type[FromWorker], more: dict[str, object]
) -> None:
    said = reporter.message(kind, **more)
    assert vars(said) == {"age": 7, "changes": 0, "workers": 0, "surplus": False, **more}
