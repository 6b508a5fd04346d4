"""Ways to deploy, and that what runs after a rollout is what is deployed: a link to the release in
``directory=`` and the command, a folder put in another's place, and a link in ``chdir``."""

from __future__ import annotations

import os
import signal
import sysconfig
import venv
from pathlib import Path

from tests.harness import MakeSite, Program, Site, steady, wait_until

NO_CHDIR = "del chdir"


def _environment(release: Path) -> None:
    """Give a release an environment of its own, with the packages of this one."""
    venv.create(release / "venv", with_pip=False, symlinks=True)
    packages = next((release / "venv" / "lib").glob("python*")) / "site-packages"
    own = sysconfig.get_path("purelib")
    (packages / "these.pth").write_text(f"import site; site.addsitedir({own!r})\n")
    script = release / "venv" / "bin" / "gunicorn"
    script.write_text(f"#!{release}/venv/bin/python\nfrom gunicorn.app.wsgiapp import run\nrun()\n")
    script.chmod(0o755)


def _release(site: Site, name: str, **options: str) -> None:
    _environment(site.add_release(name, **options))


def _shown(site: Site, name: str, release: str) -> None:
    def shown() -> bool:
        pids = " ".join(map(str, sorted(site.workers(name).children)))
        return f"{pids} ({release})" in site.ctl("rollstatus", name).output

    wait_until(shown, 20, f"the workers of {name} are shown with {release}")


def test_a_link_in_directory_and_command_takes_another_arbiter(make_site: MakeSite) -> None:
    site = make_site(start=False)
    _environment(site.folder / "releases" / "v1")
    site.write(
        Program(
            conf=NO_CHDIR,
            gunicorn=site.current / "venv" / "bin" / "gunicorn",
            roll={"release": str(site.current)},
            section={"directory": str(site.current)},
        )
    )
    site.start()
    _release(site, "v2")
    site.deploy("v2")
    why = f"directory={site.current} now leads to {site.folder}/releases/v2"
    with site.untouched():
        output = site.roll("web", "--dry-run")
        assert "would replace the arbiter and its 2 workers" in output
        assert why in output.replace("\n", " ")
        output = site.roll("web", "--strategy=workers", status=1)
        assert why in output
        assert "use --strategy arbiter" in output
    with site.unharmed(replaced=2, same_arbiter=False) as (load, _, _):
        assert why in site.roll("web")
        wait_until(lambda: load.answered_by("v2") > 5, 15, "the new release answers")
        _shown(site, "web", "v2")
        # One that cannot be loaded is found out, and what runs is not taken for it.
        _release(site, "v3", boot="raise")
        site.deploy("v3")
        assert "release v3 lacks a module" in site.roll("web", status=1)
        _shown(site, "web", "v2")
    assert "v3" not in load.so_far().answered


def test_a_folder_in_anothers_place_takes_an_arbiter_and_an_upgrade_in_place_does_not(
    make_site: MakeSite,
) -> None:
    site = make_site(start=False)
    live = site.folder / "live"
    _release(site, "v2")
    _environment(site.folder / "releases" / "v1")
    (site.folder / "releases" / "v1").rename(live)
    site.write(
        Program(
            conf=NO_CHDIR,
            gunicorn=live / "venv" / "bin" / "gunicorn",
            section={"directory": str(live)},
        )
    )
    # Its scripts name the folder that they lie in.
    for script in (live, site.folder / "releases" / "v2"):
        path = script / "venv" / "bin" / "gunicorn"
        path.write_text(f"#!{live}/venv/bin/python\n" + path.read_text().partition("\n")[2])
    site.start()
    with steady(load := site.load("web", rate=30)):
        path = live / "venv" / "bin" / "gunicorn"
        path.with_suffix(".new").write_text(path.read_text() + "# another\n")
        path.with_suffix(".new").chmod(0o755)
        path.with_suffix(".new").replace(path)
        assert "web: rolling 2 workers" in site.roll("web")
        live.rename(site.folder / "old")
        (site.folder / "releases" / "v2").rename(live)
        assert f"directory={live} is another folder now" in site.roll("web")
        wait_until(lambda: load.answered_by("v2") > 5, 15, "the new release answers")
    assert not load.so_far().failed, load.so_far()


def test_a_link_in_chdir_is_followed_by_fresh_workers_and_one_left_behind_fails(
    make_site: MakeSite,
) -> None:
    site = make_site(Program(workers=2))
    arbiter = site.pid("web")
    site.deploy("v2")
    site.roll("web")
    fresh = site.wait_ready("web", 2)
    assert site.pid("web") == arbiter
    assert {str(Path(f"/proc/{pid}/cwd").readlink()) for pid in fresh.children} == {
        f"{site.folder}/releases/v2"
    }
    # So they do after HUP, which takes the arbiter there as well.
    os.kill(arbiter, signal.SIGHUP)
    fresh = site.wait_replaced("web", fresh)
    # The link moves on while the next release boots.
    site.add_release("v3", boot="gate")
    site.add_release("v4")
    site.deploy("v3")
    rolling = site.ctl_start("rollrestart", "--no-preflight", "web")
    booting = next(iter(site.wait_booting("web", 1).booting))
    cwd = Path(f"/proc/{booting}/cwd")
    wait_until(lambda: cwd.readlink().name == "v3", 15, "the fresh worker is in v3")
    site.deploy("v4")
    site.open_gate("v3")
    rolling.ends(1, "does not run what is deployed", f"{site.folder}/releases/v4")
    assert site.wait_ready("web", 2).children == fresh.children
    site.roll("web")
