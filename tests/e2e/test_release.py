"""rollstatus says which release each worker runs: a link's target, or what a command prints."""

from __future__ import annotations

import pytest

from tests.harness import MakeSite, Program, wait_until


@pytest.mark.parametrize("how", ["link", "command"])
def test_each_worker_is_shown_with_the_release_that_it_was_forked_from(
    make_site: MakeSite, how: str
) -> None:
    site = make_site(Program(workers=2), start=False)
    release = str(site.current) if how == "link" else f"readlink {site.current} | xargs basename"
    site.write(Program(workers=2, roll={"release": release}))
    site.start()
    assert site.ctl("rollrestart", "web").status == 0
    site.deploy("v2", boot="raise")
    assert site.ctl("rollrestart", "web").status == 1

    def shown() -> bool:
        pids = " ".join(map(str, sorted(site.workers("web").children)))
        return f"{pids} (v1)" in site.ctl("rollstatus", "web").output

    wait_until(shown, 20, "both workers are shown with v1")


def test_an_arbiter_that_has_imported_the_application_is_replaced_itself(
    make_site: MakeSite,
) -> None:
    """As one does whose configuration reads its settings from there."""
    site = make_site(start=False)
    conf = f"import sys; sys.path.insert(0, {str(site.current)!r}); import release"
    site.write(Program(workers=1, conf=conf))
    site.start()
    site.deploy("v2")
    with site.untouched():
        output = site.roll("web", "--strategy", "workers", status=1)
    assert "its arbiter has imported modules of the application itself: release;" in output
    with site.unharmed(replaced=1, same_arbiter=False) as meanwhile:
        output = site.roll("web")
    assert "(its arbiter has imported modules of the application: release)" in output
    assert meanwhile.load.so_far().requests[-1].release == "v2"
