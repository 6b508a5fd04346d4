"""Of a traceback the application's frames are shown, and its exception always."""

from __future__ import annotations

import re
import sys
import textwrap
import traceback

from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor_roll.ctl.render.traceback import LONGEST, brief, in_brief
from supervisor_roll.rollout.reports import Broken, Plan, Preflight

BRIEF = settings(deadline=None, derandomize=True, database=None, max_examples=100)
LEFT_OUT = re.compile(r"[ |]*\.\.\. \d+ frames? of [a-z_, ]+")
FAILED = """\
worker 11 failed to boot: ImportError: no paymentz
Traceback (most recent call last):
  File "/srv/venv/lib/python3.11/site-packages/supervisor_roll/hooks/worker/boot_guard.py", line 62, in guarded
    original()
  File "/srv/venv/lib/python3.11/site-packages/gunicorn/workers/base.py", line 136, in init_process
    self.load_wsgi()
    ~~~~~~~~~~~~~~^^
  File "/usr/lib/python3.11/importlib/__init__.py", line 126, in import_module
    return _bootstrap._gcd_import(name[level:], package, level)
  File "<frozen importlib._bootstrap>", line 1204, in _gcd_import
  [Previous line repeated 3 more times]
  File "/srv/gunicorn/shop/views.py", line 1, in <module>
    from shop import models
  File "<frozen importlib._bootstrap>", line 1204, in _gcd_import
  File "/srv/venv/lib/python3.11/site-packages/django/db.py", line 7, in model
    import paymentz
ImportError: no paymentz"""  # noqa: E501


def test_frames_of_what_loads_an_application_are_counted_only() -> None:
    assert (
        brief(FAILED)
        == """\
worker 11 failed to boot: ImportError: no paymentz
Traceback (most recent call last):
  ... 4 frames of supervisor_roll, gunicorn, importlib
  File "/srv/gunicorn/shop/views.py", line 1, in <module>
    from shop import models
  ... 1 frame of importlib
  File "/srv/venv/lib/python3.11/site-packages/django/db.py", line 7, in model
    import paymentz
ImportError: no paymentz"""
    )


def test_of_exceptions_in_groups_each_is_shown() -> None:
    grouped = textwrap.indent(FAILED, "  | ", lambda _: True)
    ones = [line.removeprefix("  | ") for line in brief(grouped).split("\n")]
    assert ones == brief(FAILED).split("\n")
    inner = "    | " + FAILED.split("\n")[2].lstrip()
    assert brief(f"{grouped}\n{inner}").endswith("    | ... 1 frame of supervisor_roll")


def test_each_text_of_a_report_is_in_brief() -> None:
    assert in_brief(Broken(FAILED, 11)) == Broken(brief(FAILED), 11)
    told = Plan(workers=3, preflight=Preflight(False, 1.0, FAILED))
    assert in_brief(told) == Plan(workers=3, preflight=Preflight(False, 1.0, brief(FAILED)))
    assert in_brief(None) is None


def test_a_long_one_lacks_its_middle() -> None:
    lines = [str(number) for number in range(100)]
    shown = brief("\n".join(lines)).split("\n")
    assert (len(shown), shown[:2], shown[-1]) == (LONGEST, ["0", "..."], "99")
    assert brief("\n".join(lines[:LONGEST])).split("\n") == lines[:LONGEST]


LINES = st.sampled_from([*FAILED.split("\n"), "", "  | x", "[Previous line repeated"]) | st.text()


@BRIEF
@given(st.lists(LINES).map("\n".join))
@example("")
def test_nothing_is_lost_but_what_is_indented_and_no_text_is_too_strange(text: str) -> None:
    lines = text.rstrip("\n").split("\n")
    shown = brief(text).split("\n")
    assert len(shown) <= LONGEST
    rest = iter(lines)
    assert all(line in rest for line in shown if line != "..." and not LEFT_OUT.fullmatch(line))
    said = [line for line in lines if line[:1] not in (" ", "|")]
    if len(shown) < LONGEST:
        assert [line for line in shown if line[:1] not in (" ", "|")] == said
    if said and said[-1] == lines[-1]:
        assert shown[-1] == lines[-1]


@BRIEF
@given(st.text(), st.lists(st.text(), max_size=3))
def test_the_exception_itself_is_always_shown(message: str, notes: list[str]) -> None:
    try:
        exec(compile("raise ValueError(message)", "/x/site-packages/gunicorn/app.py", "exec"))
    except ValueError as error:
        if sys.version_info >= (3, 11):
            for note in notes:
                error.add_note(note)
        whole = "".join(traceback.format_exception(error))
        [said] = traceback.format_exception_only(ValueError, ValueError(message))
    shown = brief(whole)
    assert said.split("\n")[0] in shown.split("\n")
