"""Where no process can be started an arbiter serves on with the workers that it has."""

from __future__ import annotations

import os
import resource
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.wire.messages import Counted, ForkFailed
from tests.fakes.gunicorn import FakeArbiter, FakeWorker
from tests.harness.waiting import wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS, Site, answering


@contextmanager
def _no_forks(pid: int) -> Iterator[None]:
    """No fork of this process succeeds meanwhile: by its cgroup, or its user's limit."""
    if os.geteuid() != 0:
        before = resource.prlimit(pid, resource.RLIMIT_NPROC, (1, resource.RLIM_INFINITY))
        yield
        resource.prlimit(pid, resource.RLIMIT_NPROC, before)
        return
    root = Path("/sys/fs/cgroup/pids")
    root = root if root.is_dir() else Path("/sys/fs/cgroup")
    group = root / f"roll-{uuid.uuid4().hex}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made: {error}")
    try:
        if not (group / "pids.max").exists():
            pytest.skip("there is no pids controller")
        (group / "pids.max").write_text("1")
        (group / "cgroup.procs").write_text(str(pid))
        yield
        (group / "pids.max").write_text("max")
    finally:
        for line in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                (root / "cgroup.procs").write_text(line)
        group.rmdir()


def test_an_arbiter_that_cannot_fork_serves_on_and_tries_again(site: Site, version: str) -> None:
    bind = f"unix:{site.folder}/http"
    gunicorn = site.start(version, f"bind = {bind!r}\nworkers = 2\n{HOOKS}").wait_ready(2)
    before = gunicorn.workers()
    with _no_forks(gunicorn.pid):
        # One more is not wanted any longer once it could not be started.
        gunicorn.send(signal.SIGTTIN)
        (failed,) = wait_until(
            lambda: site.listener.said(ForkFailed, gunicorn.pid), DEADLINE_SECS, "the failure"
        )
        assert "could not start a worker: [Errno 11]" in failed.error
        assert "ulimit -u" in failed.error

        def counts() -> list[int | None]:
            # By the arbiter's own word: a worker may say one again, until it is acknowledged.
            return [one.workers for one in site.listener.said(Counted, gunicorn.pid)]

        wait_until(lambda: counts()[-1:] == [2], DEADLINE_SECS, "the count as before")
        assert counts() == [3, 2]
        assert gunicorn.workers() == before

        # One that must be replaced is tried again and again.
        os.kill(before[0], signal.SIGKILL)
        wait_until(
            lambda: len(site.listener.said(ForkFailed)) >= 3, DEADLINE_SECS, "two more tries"
        )
        assert gunicorn.process.poll() is None
        assert gunicorn.workers() == before[1:]
        assert answering(bind) == gunicorn.pid
        assert "Unhandled exception" not in gunicorn.log
    gunicorn.wait_ready(2)
    assert gunicorn.end() == 0


@pytest.mark.parametrize("age", [1, 2])
def test_a_first_start_that_cannot_fork_ends_as_it_always_did(site: Site, age: int) -> None:
    """supervisord is to see it. The reason is told all the same."""
    gunicorn = site.start(
        "27.0.1",
        f"bind = 'unix:http'\n{HOOKS}"
        "def _fork():\n    raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
        "import os as _os\n"
        "_pre_fork = pre_fork\n"
        "def pre_fork(server, worker):\n"
        "    _pre_fork(server, worker)\n"
        f"    if worker.age == {age}:\n        _os.fork = _fork\n"
        # None is to be ready before the second fork: that would be no first start any more.
        "_post_worker_init = post_worker_init\n"
        "def post_worker_init(worker):\n"
        "    import time\n"
        "    time.sleep(5)\n"
        "    _post_worker_init(worker)\n"
        "workers = 2\n",
    )
    assert gunicorn.exit_status() != 0
    (failed,) = wait_until(
        lambda: site.listener.said(ForkFailed, gunicorn.pid), DEADLINE_SECS, "the failure"
    )
    assert "ulimit -u" in failed.error


class _WithoutRoom(FakeArbiter):
    """Forks while there is ``room``. ``tries`` counts how often it would have."""

    room = True
    tries = 0

    def spawn_worker(self) -> None:
        self.tries += 1
        if not self.room:
            # As a worker's own temporary file does, before pre_fork is called.
            raise OSError(28, "No space left on device")
        super().spawn_worker()


def test_what_pre_fork_has_not_seen_is_surplus_all_the_same() -> None:
    arbiter = _WithoutRoom(2)
    ArbiterState.of(arbiter).page.became_ready()
    arbiter.room = False
    arbiter.ttin()
    assert (arbiter.num_workers, arbiter.ages, arbiter.tries) == (2, [1, 2], 3)
    arbiter.room = True
    arbiter.ttin()
    assert arbiter.surplus() == [3]
    arbiter.reap(arbiter.aged(3))
    assert (arbiter.num_workers, arbiter.ages) == (2, [1, 2])


def test_a_replacement_is_not_tried_at_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    arbiter = _WithoutRoom(1)
    ArbiterState.of(arbiter).page.became_ready()
    now = 1000.0
    monkeypatch.setattr("supervisor_roll.hooks.arbiter.fork_guard.time.monotonic", lambda: now)
    arbiter.room = False
    worker: FakeWorker = arbiter.WORKERS.popitem()[1]
    assert worker.age == 1
    for _ in range(600):  # a minute, of ten turns a second
        arbiter.spawn_worker()
        now += 0.1
    assert 6 <= arbiter.tries - 1 <= 12
    arbiter.room = True
    now += 10
    arbiter.spawn_worker()
    assert arbiter.ages == [2]
