"""However long it runs and whoever calls it, the mailbox stays small."""

from __future__ import annotations

from supervisor_roll.rollout.reports import Note, Refused, Warned
from supervisor_roll.rpc.kept_job import (
    FOLLOWED_SECS,
    MAX_JOB_CHARS,
    MAX_REPORTS,
    OTHERS_SECS,
)
from supervisor_roll.rpc.mailbox import MAX_DONE_CHARS, MAX_JOBS, PENDING_SECS, Mailbox
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.mailbox import Command, Exchange, Report, Request
from supervisor_roll.wire.workers import MAX_WORKERS_CHARS, WATCHED_SECS

ASK = Command(wire.ROLLOUT, ["myapp"])


def put(mailbox: Mailbox, now: float = 0.0) -> Request:
    return mailbox.put(ASK, ["myapp"], False, now, 1e9)


def say(mailbox: Mailbox, now: float = 0.0, **said: object) -> list[str]:
    exchange = Exchange(1, **said)
    return [
        request.id
        for request in mailbox.exchange(
            exchange, now, 1e9 + now, lambda namespec, name: ""
        ).requests
    ]


def told(mailbox: Mailbox, job: str, since: int = 0, now: float = 0.0) -> tuple[list[Report], bool]:
    reports, done = mailbox.reports(job, since, now) or ([], False)
    return [from_json(Report, one) for one in reports], done


def kept(mailbox: Mailbox, ids: list[str]) -> list[str]:
    """Those of the jobs that the mailbox knows; nothing of them has been read then."""
    return [id for id in ids if mailbox.reports(id, 1 << 30, 0.0) is not None]


def test_only_the_newest_reports_of_a_job_are_kept() -> None:
    mailbox = Mailbox()
    job = put(mailbox).id
    reports = [Report(job, "myapp", Warned.kind, {"n": n}) for n in range(MAX_REPORTS + 10)]
    say(mailbox, reports=reports)
    found, done = told(mailbox, job)
    assert (found[0].seq, done) == (11, False)
    found, _ = told(mailbox, job, MAX_REPORTS)
    assert found[-1].seq == MAX_REPORTS + 10


def test_long_reports_of_a_job_are_kept_up_to_a_size() -> None:
    mailbox = Mailbox()
    job = put(mailbox).id
    text = "x" * 100_000
    say(mailbox, reports=[Report(job, "myapp", Note.kind, {"text": text}) for _ in range(100)])
    found, _ = told(mailbox, job)
    kept = 100 - found[0].seq + 1
    assert 0 < kept * len(text) <= MAX_JOB_CHARS < (kept + 1) * (len(text) + 200)


def test_done_jobs_are_dropped_the_oldest_first() -> None:
    mailbox = Mailbox()
    ids = [put(mailbox).id for _ in range(MAX_JOBS)]
    say(mailbox, fetched=ids, done=[ids[3], ids[5]])
    put(mailbox)
    assert kept(mailbox, ids[3:4]) == []
    assert kept(mailbox, ids[5:6]) == ids[5:6]
    assert len(mailbox.jobs) == MAX_JOBS - 1


def done_with(mailbox: Mailbox, chars: int, jobs: int) -> list[str]:
    """So many jobs that are done, each with a report of so many characters and more."""
    ids = [put(mailbox).id for _ in range(jobs)]
    for id in ids:
        say(mailbox, reports=[Report(id, "myapp", Note.kind, {"text": "x" * chars})], done=[id])
    return ids


def test_of_jobs_that_are_done_so_much_is_kept_and_longer_what_is_not_read_yet() -> None:
    mailbox = Mailbox()
    ids = done_with(mailbox, MAX_DONE_CHARS // 3, 5)
    say(mailbox, now=FOLLOWED_SECS - 1)
    assert kept(mailbox, ids) == ids
    mailbox = Mailbox()
    ids = done_with(mailbox, MAX_DONE_CHARS // 3, 5)
    say(mailbox, now=FOLLOWED_SECS)
    assert kept(mailbox, ids) == ids[-2:]


def test_what_is_read_to_its_end_is_kept_a_moment_for_who_else_follows_it() -> None:
    mailbox = Mailbox()
    ids = done_with(mailbox, MAX_DONE_CHARS, 2)
    assert told(mailbox, ids[0])[1]
    say(mailbox, now=OTHERS_SECS - 0.1)
    assert told(mailbox, ids[0])[1]
    say(mailbox, now=OTHERS_SECS)
    assert kept(mailbox, ids) == ids[1:]


def test_what_is_not_done_is_never_dropped_and_no_more_is_taken_then() -> None:
    mailbox = Mailbox()
    ids = [put(mailbox).id for _ in range(MAX_JOBS - 1)]
    assert not mailbox.full
    ids.append(put(mailbox).id)
    assert mailbox.full
    for program in range(MAX_JOBS):  # the listener's own jobs
        say(mailbox, reports=[Report(f"auto-{program}", "myapp", Note.kind)])
    assert say(mailbox) == ids
    assert kept(mailbox, ids) == ids
    say(mailbox, fetched=ids)
    assert mailbox.full
    say(mailbox, done=[*ids, *(f"auto-{program}" for program in range(MAX_JOBS))])
    assert not mailbox.full


def test_a_request_that_nobody_takes_is_refused_after_a_while() -> None:
    mailbox = Mailbox()
    old, new = put(mailbox, now=0.0).id, put(mailbox, now=PENDING_SECS).id
    assert say(mailbox, now=PENDING_SECS) == [old, new]
    assert say(mailbox, now=PENDING_SECS + 1) == [new]
    found, done = told(mailbox, old)
    assert done
    assert [(one.program, one.kind) for one in found] == [("myapp", Refused.kind)]
    assert "try again" in found[0].facts["why"]


def test_a_request_taken_late_is_not_refused() -> None:
    mailbox = Mailbox()
    job = put(mailbox).id
    say(mailbox, now=PENDING_SECS + 1, fetched=[job])
    assert told(mailbox, job) == ([], False)


def test_an_id_is_never_used_again() -> None:
    ids = {put(mailbox).id for mailbox in (Mailbox(), Mailbox()) for _ in range(20)}
    assert len(ids) == 40


def test_workers_are_kept_as_long_as_they_are_watched_and_up_to_a_size() -> None:
    mailbox = Mailbox()
    say(mailbox, workers={"myapp": {"1": "{}"}})
    assert mailbox.workers == {}, "nobody watches"
    assert mailbox.watch(0.0)
    assert not mailbox.watch(1.0)
    say(mailbox, now=1.0, workers={"myapp": {"1": "{}", "2": "{}"}, "other": {"3": "{}"}})
    say(mailbox, now=2.0, workers={"myapp": {"1": None, "2": "{ }"}, "other": {"3": None}})
    assert (mailbox.workers, mailbox.workers_at) == ({"myapp": {"2": "{ }"}}, 1e9 + 2)
    say(mailbox, now=3.0)
    assert mailbox.workers_at == 1e9 + 3, "they are as they were"
    say(mailbox, now=2.0, workers={"myapp": {"4": "x" * MAX_WORKERS_CHARS}})
    assert mailbox.workers == {}
    say(mailbox, now=2.0, workers={"myapp": {"1": "{}"}})
    say(mailbox, now=1.0 + WATCHED_SECS, workers={"myapp": {"2": "{}"}})
    assert (mailbox.workers, mailbox.workers_at) == ({}, 0.0)
