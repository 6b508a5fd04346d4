"""What supervisord keeps of one job: who may still ask, and what was reported."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from supervisor_roll.wire.codec import to_json
from supervisor_roll.wire.mailbox import Job, Report

# One job's reports: the oldest go.
MAX_REPORTS = 2000
MAX_JOB_CHARS = 2 * 1024 * 1024
# supervisord does nothing else while it answers, so that one answer is small.
MAX_ANSWER_CHARS = 128 * 1024
# A job that is done is followed for so long, or until its end has been read, and for a moment more:
# another command may follow it too.
FOLLOWED_SECS, OTHERS_SECS = 30.0, 2.0


class KeptJob:
    """A job with its reports, as JSON text: objects would take four times as much memory."""

    def __init__(self, job: Job) -> None:
        self.job = replace(job, programs=list(job.programs))
        self.chars = 0
        self.seq = 0  # the number of the last report
        self.ended: float | None = None  # when it was done
        self.followed_until = 0.0  # somebody may be about to ask for its last reports
        self._reports: deque[str] = deque()

    def add(self, report: Report) -> None:
        self.seq += 1
        text = to_json(replace(report, seq=self.seq))
        self._reports.append(text)
        self.chars += len(text)
        while len(self._reports) > MAX_REPORTS or self.chars > MAX_JOB_CHARS:
            self.chars -= len(self._reports.popleft())

    def end(self, now: float) -> None:
        """Note that it is done: nobody asks any more which programs it has."""
        self.ended, self.followed_until = now, now + FOLLOWED_SECS
        self.job.programs.clear()

    def after(self, since: int, now: float) -> tuple[list[str], bool]:
        """Return the reports after number ``since``, and whether these are its last.

        They are no more than one answer has room for.
        """
        before = self.seq - len(self._reports)
        known = max(0, since - before)
        found, room = list[str](), MAX_ANSWER_CHARS
        for text in list(self._reports)[known:]:
            room -= len(text)
            if found and room < 0:
                break
            found.append(text)
        done = self.ended is not None and max(since, before + known + len(found)) >= self.seq
        if done:
            self.followed_until = min(self.followed_until, now + OTHERS_SECS)
        return found, done
