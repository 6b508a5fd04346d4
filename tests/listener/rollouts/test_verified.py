"""How often a fresh worker is compared with what is deployed: each path in that takes a look."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor_roll.listener.edges import told_paths
from supervisor_roll.rollout.reports import Broken
from supervisor_roll.wire.messages import Booting, Loaded, Ready
from supervisor_roll.wire.places import APP, ROOT, Place, encode
from tests.fakes.site import ready_site


@pytest.mark.parametrize(("held_secs", "fails"), [(0.0, False), (3.0, True)])
def test_its_ready_is_compared_again_only_where_that_comes_later_than_a_moment(
    tmp_path: Path, held_secs: float, fails: bool
) -> None:
    for name in ("v1", "v2"):
        (tmp_path / name).touch()
    current = tmp_path / "current"
    current.symlink_to("v1")
    site, program = ready_site(2)
    program.facts |= {
        "places": encode([Place(ROOT, "/", "/", told_paths.led_to("/")[1])]),
        "runs": encode([Place(APP, str(current), str(tmp_path / "v1"))]),
    }
    program.boots = lambda age: (Booting, Loaded)
    job = site.ask("myapp")
    current.unlink()
    current.symlink_to("v2")
    site.pass_time(held_secs)
    program.boots = lambda age: ()
    program.say(max(program.workers), Ready)
    site.settle()
    assert (("myapp", Broken.kind) in site.reports(job)) is fails
