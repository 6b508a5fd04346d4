"""scripts/faults: a few faults of the campaign are tried, and hold."""

from __future__ import annotations

from tests.harness.command import run_script


def test_a_few_faults_hold() -> None:
    chosen = ("--only", "boot: exit 3", "--only", "fresh worker killed")
    ran = run_script("_faults", *chosen, "--strategy", "workers", "--jobs", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("  HELD\n") == 2
    assert "2 tried, 0 BROKEN" in ran.stdout


def test_the_faults_are_listed_and_an_unknown_one_is_an_error() -> None:
    ran = run_script("_faults", "--list", "--only", "boot: raise")
    assert [line.split()[-1] for line in ran.stdout.splitlines()] == ["workers", "arbiter"]
    ran = run_script("_faults", "--only", "no such fault")
    assert ran.returncode == 2
    assert "see --list" in ran.stderr
