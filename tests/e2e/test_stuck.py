"""A worker that does not leave within drain_timeout_secs is asked with ABRT, which shows where it
hangs, and then killed: the rollout says so, completes, and no other request is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.harness import MakeSite, Program, patience, wait_until

WORKERS = 2
# Longer than Gunicorn itself would wait: it must not end the request first.
CONF = "timeout = 300\ngraceful_timeout = 300"

# Added to a release: it says which worker a long request is in, and sits through ABRT, at
# which Gunicorn's worker raises SystemExit, if it is to be ``stubborn``.
_DOZE = """
def doze(secs):
    (_FOLDER / f"dozes-{os.getpid()}").touch()
    left = time.monotonic() + float(secs or 0)
    while time.monotonic() < left:
        try:
            time.sleep(left - time.monotonic())
        except SystemExit:
            print("asked to leave while it dozes", file=sys.stderr, flush=True)
            if not (_FOLDER / "stubborn").exists():
                raise
"""


@pytest.mark.parametrize("stubborn", [False, True], ids=["hears ABRT", "hears nothing"])
def test_one_with_a_request_that_lasts(make_site: MakeSite, stubborn: bool) -> None:
    secs = f"{patience():.0f}"  # in time for the others to leave, on a busy machine too
    program = Program(workers=WORKERS, conf=CONF, roll={"drain_timeout_secs": secs})
    site = make_site(program, start=False)
    release = site.folder / "releases" / "v1" / "release.py"
    release.write_text(release.read_text().replace("\n_boot()\n", f"{_DOZE}\n\n_boot()\n"))
    if stubborn:
        release.with_name("stubborn").touch()
    site.start()
    site.deploy("v2")
    # One request, which outlasts the test.
    lasting = site.load("web", path="/slow?secs=600", rate=0.001, timeout_secs=120)
    with lasting, site.unharmed(replaced=WORKERS):
        stuck = wait_until(lambda: _dozing(release.parent), 15, "a worker has the request")
        output = site.roll("web")
        lost = lasting.stop()
    told = re.findall(r"worker (\d+) has not left after (\d+) s: sent it (\w+)", output)
    assert [(int(pid), signal) for pid, _, signal in told] == (
        [(stuck, "ABRT"), (stuck, "KILL")] if stubborn else [(stuck, "ABRT")]
    ), output
    assert int(told[0][1]) >= int(secs)
    assert "asked to leave while it dozes" in site.log("web")
    (request,) = lost.requests
    assert request.failed, lost


def _dozing(release: Path) -> int:
    return next((int(path.name.rpartition("-")[2]) for path in release.glob("dozes-*")), 0)
