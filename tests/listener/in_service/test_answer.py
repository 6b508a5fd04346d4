"""HAProxy's agent-check is answered as it is at that moment."""

from __future__ import annotations

from supervisor_roll.wire.mailbox import ABORT
from supervisor_roll.wire.messages import Booting
from tests.fakes.site import Site, ready_site

IN_PLACE = {"max_surge": "0", "max_unavailable": "1"}


def answer(site: Site, *namespecs: str) -> str:
    return site.coordinator.agent_answer(list(namespecs or ["myapp"])).strip()


def test_all_are_ready_and_of_what_is_not_known_nothing_is_said() -> None:
    site, _ = ready_site(3)
    assert answer(site) == "up 100%"
    site.start_other("hookless", 7000001, "python -m http.server")
    assert answer(site, "hookless") == ""
    assert answer(site, "myapp", "hookless") == "up 100%"


def test_in_place_it_is_the_share_of_the_workers_that_are_ready() -> None:
    site, program = ready_site(4)
    program.boots = lambda age: (Booting,)
    site.ask("myapp", **IN_PLACE)
    assert answer(site) == "up 75%"
    site.ask("myapp", kind=ABORT)
    assert answer(site) == "up 75%"


def test_with_a_surge_it_stays_whole() -> None:
    site, program = ready_site(4)
    program.boots = lambda age: (Booting,)
    site.ask("myapp")
    assert len(program.workers) == 5
    assert answer(site) == "up 100%"


def test_a_worker_that_has_gone_is_missed_at_once_and_no_worker_is_down() -> None:
    site, program = ready_site(2)
    program.boots = lambda age: (Booting,)
    first, second = program.workers
    program.exit(first)
    site.settle()
    assert answer(site) == "up 50%"
    program.exit(second)
    site.settle()
    assert answer(site) == "down #no worker is ready"


def test_one_of_very_many_is_no_drain() -> None:
    site, program = ready_site(300)
    program.boots = lambda age: (Booting,)
    for pid in [*program.workers][1:]:
        program.exit(pid)
    site.settle()
    assert answer(site) == "up 1%"


def test_what_is_stopped_on_purpose_is_down_before_its_workers_have_gone() -> None:
    site, program = ready_site(2)
    site.supervisord.put("myapp", program.id.pid, "STOPPING")
    site.coordinator.processes_changed()
    assert answer(site) == "down #it is STOPPING"


def test_processes_of_one_program_count_together() -> None:
    site, _ = ready_site(2)
    other = site.start("other", workers=2, pid=6000010, boots=lambda age: (Booting,))
    site.settle()
    assert len(other.workers) == 2
    assert answer(site, "myapp", "other") == "up 50%"


def test_supervisord_that_does_not_answer_changes_nothing() -> None:
    site, _ = ready_site(2)
    site.coordinator.processes_changed()
    site.supervisord.unreachable = True
    assert answer(site) == "up 100%"
