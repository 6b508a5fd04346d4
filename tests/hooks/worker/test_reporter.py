"""What a worker says of itself with each message, and what only with some."""

from __future__ import annotations

import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.line import Line
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
from tests.harness.descriptors import open_descriptors, settled_descriptors
from tests.hooks.raw_listener import RawListener


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


def test_what_its_arbiter_has_made_ready_for_it_is_what_it_would_say(
    reporter: WorkerReporter,
) -> None:
    assert decode(reporter.state.booting) == decode(encode(reporter.message(Booting)))


@pytest.mark.parametrize("other_user", [False, True])
def test_its_arbiters_line_is_only_for_one_that_stays_its_arbiters_user(
    reporter: WorkerReporter, other_user: bool, listener: RawListener
) -> None:
    state = reporter.state
    state.line, state.becomes_other_user = Line(), other_user
    reporter.channel = Channel(30, state.line)
    state.line.renew()
    before = settled_descriptors()
    reporter.tell_booting()
    assert isinstance(listener.take()[0], Booting)
    assert open_descriptors() == before - other_user
    reporter.channel.hang_up()
    assert open_descriptors() == before - 1


@pytest.mark.parametrize(
    ("kind", "more"), [(Measured, {"requests": 5}), (Counted, {}), (Failed, {"error": "Oops"})]
)
def test_what_it_says_later_is_short(
    reporter: WorkerReporter, kind: type[FromWorker], more: dict[str, object]
) -> None:
    said = reporter.message(kind, **more)
    assert vars(said) == {"age": 7, "changes": 0, "workers": 0, "surplus": False, **more}
