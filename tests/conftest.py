"""What holds for every test: a short TMPDIR, an end that cleans up, and folders that are kept
where a test fails."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import settings

from tests.harness.folders import FAILED, keep, temporary_root

#: What scripts/test --quick selects.
QUICK = "not processes"
_TMPDIR = pytest.StashKey[Path]()
#: Fixtures that run supervisord or Gunicorn, in the folders where they do.
_REAL_FIXTURES = {"site", "make_site", "begin"}
_REAL_FOLDERS = {"ctl", "hooks", "rpc"}
#: They come first, so that in the end nothing waits for one of them.
_LONGEST = {
    "test_debian",
    "test_keepalive",
    "test_recycling",
    "test_several_machines",
    "test_streams",
    "test_worker_classes",
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "processes: runs a real supervisord or Gunicorn")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    settings.register_profile("full", deadline=None, max_examples=100)
    settings.register_profile("quick", deadline=None, max_examples=25)
    settings.load_profile("quick" if config.option.markexpr == QUICK else "full")
    if hasattr(config, "workerinput"):
        return  # of xdist; it inherits what its controller has set
    config.stash[_TMPDIR] = folder = Path(tempfile.mkdtemp(prefix="t.", dir=temporary_root()))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    if not config.option.basetemp:
        config.option.basetemp = str(folder / "p")  # pytest's own name for it is longer


def pytest_unconfigure(config: pytest.Config) -> None:
    if _TMPDIR in config.stash:
        shutil.rmtree(config.stash[_TMPDIR], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in _LONGEST)
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        fixtures = _REAL_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if folder == "e2e" or (folder in _REAL_FOLDERS and fixtures):
            item.add_marker("processes")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Copy the folders of a test that fails, before its fixtures remove them."""
    report = yield
    if report.failed:
        path = getattr(item, "funcargs", {}).get("tmp_path")
        for copy in keep(item.nodeid, path):
            report.sections.append(("folder kept", f"at {copy}"))
    return report


@pytest.fixture(autouse=True)
def _no_hook_fails(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """What our hooks would not raise into Gunicorn is not lost here, but where it is looked for."""
    yield
    if "caplog" not in inspect.signature(request.function).parameters:
        said = [one.getMessage() for one in caplog.get_records("call")]
        assert not [one for one in said if "Gunicorn goes on without it" in one]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"The folders of failed tests are kept below {FAILED}.")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, which has every test tear down what it started; once is enough."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt
