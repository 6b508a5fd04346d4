"""The hooks in the real Gunicorn: a worker says the truth about itself, in order, until heard."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from supervisor_roll.hooks.channel import PATIENCE_SECS
from supervisor_roll.listener.edges.executed import is_marked
from supervisor_roll.wire.messages import (
    Ack,
    Booting,
    Counted,
    Draining,
    Failed,
    Listening,
    Loaded,
    Message,
    Ready,
    Reloaded,
    Starting,
    Stopping,
    Unready,
)
from tests.harness.processes import is_gone
from tests.harness.waiting import wait_until
from tests.hooks.fake_listener import DEADLINE_SECS, HOOKS
from tests.hooks.noting_site import NotingSite, acknowledge

HEALTH = {"health": "/_status", "health_host": "www.example.org"}
MakeSite = Callable[..., NotingSite]


def speakers(site: NotingSite, kind: str) -> set[int]:
    return {pid for pid, _ in site.said(kind)}


def workers(site: NotingSite) -> set[int]:
    return {one.pid for one in psutil.Process(site.gunicorn.pid).children() if not is_gone(one.pid)}


def test_a_workers_ready_is_said_until_it_is_acknowledged_and_no_longer(
    make_site: MakeSite,
) -> None:
    """And in between: who speaks, in which order, and with which facts."""
    unheard: set[int] = set()

    def answers(pid: int, message: Message) -> Message | None:
        # The first worker is acknowledged at once, the second one at its second ready; the third
        # never: it would be one to be kept then, and may be ready before it is killed.
        late = isinstance(message, Ready) and message.age == 2 and pid not in unheard
        if late or (isinstance(message, Ready) and message.age == 3):
            unheard.add(pid)
            return None
        return Ack()

    # A gthread worker's heartbeat comes each second, whether or not there are requests.
    site = make_site(
        "workers = 2\nworker_class = 'gthread'\nthreads = 2\ngraceful_timeout = 7\n"
        f"def post_worker_init(worker):\n    worker.log.info('the own hook')\n{HOOKS}",
        answers,
    ).run()
    site.hear_until(lambda: len(speakers(site, Ready)) == 2, "both ready")
    first, second = sorted(speakers(site, Ready), key=lambda pid: site.said(Booting, pid)[0][1].age)

    assert {first, second} == workers(site)  # the kernel says who spoke
    assert not is_marked(site.gunicorn.pid)
    for pid in (first, second):
        assert is_marked(pid)
        assert site.kinds(pid)[:3] == [Booting, Loaded, Ready]
    for pid, age in ((first, 1), (second, 2)):
        for _, message in (said for said in site.listener.heard if said[0] == pid):
            assert message.age == age
            assert message.workers == 2
            assert not message.surplus
            assert message.missing == ""
            assert message.preload == message.reuse_port is False
            assert message.graceful_timeout == 7
        assert site.said(Ready, pid)[0][1].boot_secs >= 0

    # TTIN: one more, which is surplus: killed, it is not replaced, and the count goes back.
    site.gunicorn.send(signal.SIGTTIN)
    site.hear_until(lambda: len(site.said(Loaded)) == 3, "a third worker")
    third, booting = site.said(Booting)[-1]
    assert (booting.age, booting.surplus) == (3, True)
    os.kill(third, signal.SIGKILL)
    site.hear_until(lambda: len(site.said(Counted, site.gunicorn.pid)) == 2, "the count's way back")
    counted = site.said(Counted, site.gunicorn.pid)
    assert [one.workers for _, one in counted] == [3, 2]

    site.hear_until(lambda: len(site.said(Ready, second)) >= 2, "ready again")
    again, before = site.said(Ready, second)[1][1], site.said(Ready, second)[0][1]
    assert again.boot_secs == before.boot_secs
    # It says again, too, what the arbiter told once.
    assert [one for one in site.kinds(first) if one != Counted] == [Booting, Loaded, Ready]
    assert workers(site) == {first, second}
    assert "the own hook" in site.gunicorn.log

    site.gunicorn.send(signal.SIGHUP)
    site.hear_until(lambda: bool(site.said(Reloaded)), "the reload")
    site.hear_until(
        lambda: len(speakers(site, Ready) - {first, second, third}) == 2, "two new workers"
    )
    # Heard, it said no more, but that it leaves.
    said = [one for one in site.kinds(second) if one != Draining]
    assert said == [Booting, Loaded, Ready, Ready]


def test_a_listener_that_is_too_busy_at_the_drain_has_said_at_the_ready_how_long_it_may_take(
    make_site: MakeSite,
) -> None:
    def answers(pid: int, message: Message) -> Message | None:
        return None if isinstance(message, Draining) else Ack(drain_secs=60)

    site = make_site(
        f"worker_class = 'gevent'\nkeepalive = 0\ngraceful_timeout = 1\n{HOOKS}",
        answers,
        "27.0.1",
    ).run()
    site.hear_until(lambda: bool(site.said(Ready)), "ready")
    [worker] = speakers(site, Ready)
    site.touch("held")
    client = site.connect()
    assert client is not None
    wait_until(lambda: "requested" in site.notes(worker), DEADLINE_SECS, "the request is served")
    os.kill(worker, signal.SIGTERM)
    site.hear_until(lambda: bool(site.said(Draining, worker)), "it drains")
    time.sleep(3)  # more than the graceful_timeout
    site.forget("held")
    with client.makefile("rb") as answer:
        assert answer.read().endswith(b"fine")


def test_ready_comes_after_the_application_is_loaded_and_its_check_before_the_first_request(
    make_site: MakeSite,
) -> None:
    """Configured by nothing but ``-c python:supervisor_roll.hooks``."""
    site = make_site("", lambda pid, message: Ack(**HEALTH if isinstance(message, Loaded) else {}))
    site.touch("wait")
    site.run("-c", "python:supervisor_roll.hooks", "-b", f"unix:{site.folder}/http")
    site.hear_until(lambda: "importing" in site.notes(), "the import's begin")
    client = site.connect()
    assert client is not None
    assert {type(message) for _, message in site.listener.heard} <= {Starting, Listening, Booting}

    site.forget("wait")
    site.hear_until(lambda: bool(site.said(Loaded)), "the application loaded")
    assert "imported" in site.notes()
    site.hear_until(lambda: bool(site.said(Ready)), "ready")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    ((pid, ready),) = site.said(Ready)
    assert ready.status == "200 OK"
    assert site.kinds(pid) == [Booting, Loaded, Ready]
    assert site.notes() == ["importing", "imported", "checked", "requested"]


def test_a_held_sick_worker_accepts_nothing_and_still_hears_term(make_site: MakeSite) -> None:
    held = {"hold": True, "hold_secs": 600}
    site = make_site(
        f"workers = 1\n{HOOKS}",
        lambda pid, message: Ack(**held, **HEALTH if isinstance(message, Loaded) else {}),
    )
    site.touch("sick")
    site.run()
    site.hear_until(lambda: len(site.said(Unready)) >= 1, "not ready")
    client = site.connect()
    assert client is not None
    site.hear_until(lambda: len(site.said(Unready)) >= 4, "not ready, again and again")
    sick = site.said(Unready)[0][0]
    assert {message.status for _, message in site.said(Unready, sick)} == {"503 No"}
    assert not site.said(Ready)
    assert "requested" not in site.notes()

    os.kill(sick, signal.SIGTERM)
    site.hear_until(lambda: is_gone(sick), "the held worker's end")
    assert "requested" not in site.notes(sick)

    # The next one is held too, until it is well; the request has waited for it.
    site.hear_until(lambda: any(pid != sick for pid, _ in site.said(Unready)), "the next")
    site.forget("sick")
    site.hear_until(lambda: bool(site.said(Ready)), "ready")
    well, ready = site.said(Ready)[0]
    assert ready.status == "200 OK"
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert site.notes(well)[-2:] == ["checked", "requested"]


def test_one_worker_more_waits_for_a_slow_listener_and_serves_nobody_unchecked(
    make_site: MakeSite,
) -> None:
    """Others serve meanwhile, so it has more patience than a worker that is needed."""
    held = {**HEALTH, "hold": True, "hold_secs": 600}

    def answers(pid: int, message: Message) -> Message | None:
        if isinstance(message, Loaded) and message.age == 2:
            time.sleep(PATIENCE_SECS + 1)
        return Ack(**held)

    site = make_site(f"workers = 1\n{HOOKS}", answers)
    site.run()
    site.hear_until(lambda: bool(site.said(Ready)), "the first is ready")
    site.touch("sick")
    os.kill(site.gunicorn.pid, signal.SIGTTIN)
    site.hear_until(lambda: len(site.said(Unready)) >= 3, "not ready, again and again")
    ((pid, _),) = [one for one in site.said(Loaded) if one[1].age == 2]
    assert set(site.kinds(pid)) == {Booting, Loaded, Unready}


def test_an_ordinary_worker_says_ready_alone_and_waits_for_nobody_where_it_may(
    make_site: MakeSite,
) -> None:
    """One of TTIN says all; and so does one that was told so afterwards, and those after it."""
    mute: list[int] = []
    more: dict[str, bool] = {"ready_alone": True}

    def answers(pid: int, message: Message) -> Message | None:
        return None if getattr(message, "age", 0) in mute else Ack(**more)

    site = make_site(f"workers = 1\nworker_class = 'gthread'\n{HOOKS}", answers).run()

    def killed_and_replaced(age: int) -> int:
        [old] = workers(site)
        os.kill(old, signal.SIGKILL)
        site.hear_until(lambda: bool(said_of(Ready, age)), f"the worker of age {age}")
        return said_of(Ready, age)[0]

    def said_of(kind: type[Message], age: int) -> list[int]:
        return [pid for pid, message in site.said(kind) if message.age == age]

    site.hear_until(lambda: bool(said_of(Ready, 1)), "the first one")
    assert site.kinds(said_of(Ready, 1)[0]) == [Booting, Loaded, Ready]
    mute.append(2)  # as one is that sleeps
    alone = killed_and_replaced(2)
    client = site.connect()
    assert client is not None
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert site.kinds(alone) == [Booting, Ready]
    alone = killed_and_replaced(3)
    site.gunicorn.send(signal.SIGTTIN)
    site.hear_until(lambda: bool(said_of(Ready, 4)), "one more")
    assert site.kinds(alone) == [Booting, Ready], "its answer was found"
    surplus = said_of(Ready, 4)[0]
    assert site.kinds(surplus) == [Booting, Loaded, Ready]

    site.gunicorn.send(signal.SIGTTOU)
    wait_until(lambda: workers(site) == {surplus}, DEADLINE_SECS, "one is left")
    more.clear()  # a rollout has begun, say
    alone = killed_and_replaced(5)
    site.hear_until(lambda: len(site.said(Ready, alone)) == 2, "all of it")
    assert site.kinds(alone) == [Booting, Ready, Ready]
    (_, first), (_, second) = site.said(Ready, alone)
    assert (first.alone, second.alone) == (True, False)
    assert "app.py" in second.runs
    assert "app.py" not in first.runs
    assert site.kinds(killed_and_replaced(6)) == [Booting, Loaded, Ready]
    assert site.kinds(alone) == [Booting, Ready, Ready]


#: Whatever this process is connected to by a Unix socket, as notes of the application.
CONNECTED = """
import socket
for number in os.listdir("/proc/self/fd"):
    try:
        one = socket.socket(fileno=os.dup(int(number)))
        if one.family == socket.AF_UNIX:
            note(one.getpeername())
    except OSError:
        pass
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
@pytest.mark.parametrize(("user", "lines"), [("root", 1), ("nobody", 0)])
def test_an_application_of_another_user_finds_no_line_of_its_arbiters(
    make_site: MakeSite, user: str, lines: int
) -> None:
    site = make_site(f"user = {user!r}\n{HOOKS}", acknowledge)
    for folder in (site.folder, site.folder.parent):
        folder.chmod(0o755)
    site.touch("log")
    (site.folder / "log").chmod(0o666)
    site.touch("broken", CONNECTED)
    site.run()
    site.hear_until(lambda: "imported" in site.notes(), "the application loaded")
    site.hear_until(lambda: bool(site.said(Booting)), "the boot")
    worker = site.said(Booting)[0][0]
    assert len(site.notes(worker)) == 2 + lines  # beside "importing" and "imported"


def test_a_sick_worker_that_nobody_holds_serves_and_says_so(make_site: MakeSite) -> None:
    """A failing check never keeps a program from starting."""
    site = make_site(
        f"workers = 1\n{HOOKS}",
        lambda pid, message: Ack(**HEALTH if isinstance(message, Loaded) else {}),
    )
    site.touch("sick")
    site.run()
    site.hear_until(lambda: bool(site.said(Unready)), "not ready")
    client = site.connect()
    assert client is not None
    site.hear_until(lambda: "requested" in site.notes(), "a request served")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert not site.said(Ready)


def test_a_first_start_that_fails_ends_as_gunicorns_own(make_site: MakeSite) -> None:
    site = make_site(f"workers = 1\n{HOOKS}", acknowledge)
    site.touch("broken", "import no_such_module")
    site.run()
    assert site.gunicorn.exit_status() == 3
    site.hear_until(lambda: bool(site.said(Stopping)), "the boot, and the end")
    assert [type(message) for _, message in site.listener.heard] == [
        Starting,
        Listening,
        Booting,
        Failed,
        Stopping,
    ]
