"""On a terminal a rollout is seen worker by worker, and Ctrl-C leaves nothing of it there."""

from __future__ import annotations

from contextlib import closing

from tests.harness import MakeSite, Program, wait_until
from tests.terminal import Terminal


def test_each_worker_is_seen_until_ctrl_c_and_the_rollout_goes_on(make_site: MakeSite) -> None:
    site = make_site(Program(workers=2, roll={"health": "/_status"}))
    # The listener is asked only then, and not waited for where it is slow.
    wait_until(
        lambda: site.ctl("rollstatus").output.split()[6:] == ["web", "never", "rolled", "2/2"]
    )
    old = {str(pid) for pid in site.workers("web").children}
    site.deploy("v2", boot="gate")
    with closing(Terminal(site.ctl_command("rollrestart", "web"), columns=120)) as shown:

        def states() -> dict[str, str]:
            """By pid, as shown now."""
            rows = [line.split() for line in shown.lines if not line.startswith("web")]
            return {row[1]: row[0] for row in rows if len(row) > 1}

        def all_are(*of: str) -> bool:
            return sorted(states().get(pid, "") for pid in old | fresh) == sorted(of)

        lines = shown.wait_shows("booting")
        assert lines[0] == "web: rolling 2 workers (surge 1, unavailable 0)"
        assert "web  0/2 workers  |" in lines[-1]
        fresh = {str(pid) for pid in site.workers("web").children} - old
        wait_until(lambda: all_are("outdated", "outdated", "booting"))
        site.open_gate("v2", boots=1)
        wait_until(lambda: "web  1/2 workers  |" in shown.lines[-1])
        fresh = {str(pid) for pid in site.workers("web").children} - old
        wait_until(lambda: {"booting", "ready"} <= set(states().values()))
        shown.resize(20, 40)
        wait_until(lambda: "web  1/2 workers  |" in shown.lines[-1])
        shown.type("\x03")
        assert shown.wait_ends() == 130
        assert not [line for line in shown.lines if "booting" in line or "workers  |" in line]
        assert "Detached; the rollout goes on." in "".join(shown.lines)
    site.open_gate("v2")
    assert site.ctl("rollstatus", "--follow", "web").status == 0
