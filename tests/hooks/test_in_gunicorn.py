"""The hooks in the real Gunicorn: a worker says the truth about itself, in order, until heard."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil

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
from tests.hooks.running_gunicorn import RunningGunicorn, acknowledge

INSTALLED = "from supervisor_roll.hooks import install; install(globals())\n"
HEALTH = {"health": "/_status", "health_host": "www.example.org"}
MakeGunicorn = Callable[..., RunningGunicorn]


def speakers(gunicorn: RunningGunicorn, kind: str) -> set[int]:
    return {pid for pid, _ in gunicorn.said(kind)}


def workers(gunicorn: RunningGunicorn) -> set[int]:
    return {one.pid for one in psutil.Process(gunicorn.arbiter).children() if not is_gone(one.pid)}


def test_a_workers_ready_is_said_until_it_is_acknowledged_and_no_longer(
    make_gunicorn: MakeGunicorn,
) -> None:
    """And in between: who speaks, in which order, and with which facts."""
    unheard: set[int] = set()

    def answers(pid: int, message: Message) -> Message | None:
        # The first worker is acknowledged at once, the other one at its second ready.
        if isinstance(message, Ready) and message.age == 2 and pid not in unheard:
            unheard.add(pid)
            return None
        return Ack()

    # A gthread worker's heartbeat comes each second, whether or not there are requests.
    gunicorn = make_gunicorn(
        "workers = 2\nworker_class = 'gthread'\nthreads = 2\ngraceful_timeout = 7\n"
        f"def post_worker_init(worker):\n    worker.log.info('the own hook')\n{INSTALLED}",
        answers,
    ).start()
    gunicorn.hear_until(lambda: len(speakers(gunicorn, Ready)) == 2, "both ready")
    first, second = sorted(
        speakers(gunicorn, Ready), key=lambda pid: gunicorn.said(Booting, pid)[0][1].age
    )

    assert {first, second} == workers(gunicorn)  # the kernel says who spoke
    assert not is_marked(gunicorn.arbiter)
    for pid in (first, second):
        assert is_marked(pid)
        assert gunicorn.kinds(pid)[:3] == [Booting, Loaded, Ready]
    for pid, age in ((first, 1), (second, 2)):
        for _, message in (said for said in gunicorn.heard if said[0] == pid):
            assert message.age == age
            assert message.workers == 2
            assert not message.surplus
            assert message.missing == ""
            assert message.preload == message.reuse_port is False
            assert message.graceful_timeout == 7
        assert gunicorn.said(Ready, pid)[0][1].boot_secs >= 0

    # TTIN: one more, which is surplus: killed, it is not replaced, and the count goes back.
    gunicorn.signal(signal.SIGTTIN)
    gunicorn.hear_until(lambda: len(gunicorn.said(Loaded)) == 3, "a third worker")
    third, booting = gunicorn.said(Booting)[-1]
    assert (booting.age, booting.surplus) == (3, True)
    os.kill(third, signal.SIGKILL)
    gunicorn.hear_until(
        lambda: len(gunicorn.said(Counted, gunicorn.arbiter)) == 2, "the count's way back"
    )
    counted = gunicorn.said(Counted, gunicorn.arbiter)
    assert [one.workers for _, one in counted] == [3, 2]

    gunicorn.hear_until(lambda: len(gunicorn.said(Ready, second)) >= 2, "ready again")
    again, before = gunicorn.said(Ready, second)[1][1], gunicorn.said(Ready, second)[0][1]
    assert again.boot_secs == before.boot_secs
    # It says again, too, what the arbiter told once.
    assert [one for one in gunicorn.kinds(first) if one != Counted] == [Booting, Loaded, Ready]
    assert workers(gunicorn) == {first, second}
    assert "the own hook" in (gunicorn.directory / "stderr").read_text()

    gunicorn.signal(signal.SIGHUP)
    gunicorn.hear_until(lambda: bool(gunicorn.said(Reloaded)), "the reload")
    gunicorn.hear_until(
        lambda: len(speakers(gunicorn, Ready) - {first, second, third}) == 2, "two new workers"
    )
    # Heard, it said no more, but that it leaves.
    said = [one for one in gunicorn.kinds(second) if one != Draining]
    assert said == [Booting, Loaded, Ready, Ready]


def test_ready_comes_after_the_application_is_loaded_and_its_check_before_the_first_request(
    make_gunicorn: MakeGunicorn,
) -> None:
    """Configured by nothing but ``-c python:supervisor_roll.hooks``."""
    gunicorn = make_gunicorn(
        "", lambda pid, message: Ack(**HEALTH if isinstance(message, Loaded) else {})
    )
    gunicorn.touch("wait")
    gunicorn.start("-c", "python:supervisor_roll.hooks", "-b", f"unix:{gunicorn.directory}/http")
    gunicorn.hear_until(lambda: "importing" in gunicorn.notes(), "the import's begin")
    client = gunicorn.connect()
    assert client is not None
    assert {type(message) for _, message in gunicorn.heard} <= {Starting, Listening, Booting}

    gunicorn.forget("wait")
    gunicorn.hear_until(lambda: bool(gunicorn.said(Loaded)), "the application loaded")
    assert "imported" in gunicorn.notes()
    gunicorn.hear_until(lambda: bool(gunicorn.said(Ready)), "ready")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    ((pid, ready),) = gunicorn.said(Ready)
    assert ready.status == "200 OK"
    assert gunicorn.kinds(pid) == [Booting, Loaded, Ready]
    assert gunicorn.notes() == ["importing", "imported", "checked", "requested"]


def test_a_held_sick_worker_accepts_nothing_and_still_hears_term(
    make_gunicorn: MakeGunicorn,
) -> None:
    held = {"hold": True, "hold_secs": 600}
    gunicorn = make_gunicorn(
        f"workers = 1\n{INSTALLED}",
        lambda pid, message: Ack(**held, **HEALTH if isinstance(message, Loaded) else {}),
    )
    gunicorn.touch("sick")
    gunicorn.start()
    gunicorn.hear_until(lambda: len(gunicorn.said(Unready)) >= 1, "not ready")
    client = gunicorn.connect()
    assert client is not None
    gunicorn.hear_until(lambda: len(gunicorn.said(Unready)) >= 4, "not ready, again and again")
    sick = gunicorn.said(Unready)[0][0]
    assert {message.status for _, message in gunicorn.said(Unready, sick)} == {"503 No"}
    assert not gunicorn.said(Ready)
    assert "requested" not in gunicorn.notes()

    os.kill(sick, signal.SIGTERM)
    gunicorn.hear_until(lambda: is_gone(sick), "the held worker's end")
    assert "requested" not in gunicorn.notes(sick)

    # The next one is held too, until it is well; the request has waited for it.
    gunicorn.hear_until(lambda: any(pid != sick for pid, _ in gunicorn.said(Unready)), "the next")
    gunicorn.forget("sick")
    gunicorn.hear_until(lambda: bool(gunicorn.said(Ready)), "ready")
    well, ready = gunicorn.said(Ready)[0]
    assert ready.status == "200 OK"
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert gunicorn.notes(well)[-2:] == ["checked", "requested"]


def test_one_worker_more_waits_for_a_slow_listener_and_serves_nobody_unchecked(
    make_gunicorn: MakeGunicorn,
) -> None:
    """Others serve meanwhile, so it has more patience than a worker that is needed."""
    held = {**HEALTH, "hold": True, "hold_secs": 600}

    def answers(pid: int, message: Message) -> Message | None:
        if isinstance(message, Loaded) and message.age == 2:
            time.sleep(PATIENCE_SECS + 1)
        return Ack(**held)

    gunicorn = make_gunicorn(f"workers = 1\n{INSTALLED}", answers)
    gunicorn.start()
    gunicorn.hear_until(lambda: bool(gunicorn.said(Ready)), "the first is ready")
    gunicorn.touch("sick")
    os.kill(gunicorn.arbiter, signal.SIGTTIN)
    gunicorn.hear_until(lambda: len(gunicorn.said(Unready)) >= 3, "not ready, again and again")
    ((pid, _),) = [one for one in gunicorn.said(Loaded) if one[1].age == 2]
    assert set(gunicorn.kinds(pid)) == {Booting, Loaded, Unready}


def test_a_sick_worker_that_nobody_holds_serves_and_says_so(make_gunicorn: MakeGunicorn) -> None:
    """A failing check never keeps a program from starting."""
    gunicorn = make_gunicorn(
        f"workers = 1\n{INSTALLED}",
        lambda pid, message: Ack(**HEALTH if isinstance(message, Loaded) else {}),
    )
    gunicorn.touch("sick")
    gunicorn.start()
    gunicorn.hear_until(lambda: bool(gunicorn.said(Unready)), "not ready")
    client = gunicorn.connect()
    assert client is not None
    gunicorn.hear_until(lambda: "requested" in gunicorn.notes(), "a request served")
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert not gunicorn.said(Ready)


def test_a_first_start_that_fails_ends_as_gunicorns_own(make_gunicorn: MakeGunicorn) -> None:
    gunicorn = make_gunicorn(f"workers = 1\n{INSTALLED}", acknowledge)
    gunicorn.touch("broken", "import no_such_module")
    gunicorn.start()
    assert gunicorn.exit_status() == 3
    gunicorn.hear_until(lambda: bool(gunicorn.said(Stopping)), "the boot, and the end")
    assert [type(message) for _, message in gunicorn.heard] == [
        Starting,
        Listening,
        Booting,
        Failed,
        Stopping,
    ]
