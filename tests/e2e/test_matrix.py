"""scripts/matrix: what it tries of each combination holds with the versions of the tests."""

from __future__ import annotations

from tests.harness.command import run_script


def test_with_these_versions_the_trial_holds() -> None:
    ran = run_script("_matrix/trial.py")
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def test_the_combinations_are_listed_and_an_unknown_one_is_an_error() -> None:
    ran = run_script("_matrix", "--list", "--only", "Gunicorn 23", "--only", "supervisor 4.2.5")
    assert ran.stdout.splitlines() == [
        f"Python 3.{minor}, Gunicorn 23.0.0, supervisor 4.2.5" for minor in (10, 11, 12, 13)
    ]
    ran = run_script("_matrix", "--only", "Gunicorn 19")
    assert ran.returncode == 2
    assert "see --list" in ran.stderr
