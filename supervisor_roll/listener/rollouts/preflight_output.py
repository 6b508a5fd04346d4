"""What a preflight's output and exit status mean. Pure."""

from __future__ import annotations

import re
import signal

LINES = 12
_DUMP = re.compile(r"^(Current thread|Thread) 0x[0-9a-f]+.*\(most recent call first\):$")
# What ends a Gunicorn that begins beside another one and has no on_starting of ours.
_UNHOOKED = "KeyError: 'GUNICORN_FD'"


def explained(output: str, exit_code: int, late_secs: float | None) -> str:
    """Why the preflight failed: a line, and up to LINES of what it printed; "" if it did not.

    ``exit_code`` is 128 and a signal's number for a signal; ``late_secs`` is the time after which
    it was asked to end, None if it ended by itself.
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    signum = exit_code - 128 if exit_code > 128 else 0
    if late_secs is not None:
        ending = f"not loaded within {late_secs:g} s"
    elif exit_code == 0:
        return ""
    else:
        ending = _ending(exit_code, signum)
    if (late_secs is not None or signum) and (frames := _dump(lines)):
        # A dump begins with what a traceback ends with.
        return "\n".join([f"{ending}; it stood here (most recent call first):", *frames[:LINES]])
    if late_secs is None:
        # One line says what, the traceback before it where.
        ending = _exception(lines) or ending
    if ending == _UNHOOKED:
        return "its Gunicorn does not run the hook on_starting of supervisor_roll"
    return "\n".join([ending, *(line for line in lines[-LINES:] if line != ending)])


def _dump(lines: list[str]) -> list[str]:
    """Return the frames of the thread that was asked where it stands: the main one, as a rule."""
    frames: list[str] = []
    inside = False
    for line in lines:
        if match := _DUMP.match(line):
            inside = match[1] == "Current thread"
            frames = [] if inside else frames
        elif inside and line.startswith("  "):
            frames.append(line)
        else:
            inside = False
    return frames


def _exception(lines: list[str]) -> str:
    """Return the last traceback's own line, or what Gunicorn says in place of one."""
    starts = [index for index, line in enumerate(lines) if line.startswith("Traceback (most")]
    if starts:
        return next((line for line in lines[starts[-1] + 1 :] if not line[0].isspace()), "")
    return next((line for line in reversed(lines) if line.startswith("Error: ")), "")


def _ending(exit_code: int, signum: int) -> str:
    if signum == signal.SIGKILL:
        return "it was killed: out of memory?"
    if signum in set(signal.Signals):
        return f"it died of {signal.Signals(signum).name}"
    if exit_code in (126, 127):  # a shell's
        return "its command cannot be executed"
    return f"it left with status {exit_code} while it loaded the application (sys.exit?)"
