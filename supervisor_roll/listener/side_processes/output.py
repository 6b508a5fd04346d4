"""What a preflight's output and exit status mean. Pure."""

from __future__ import annotations

import re
import signal

LINES = 12
_DUMP = re.compile(r"^(Current thread|Thread) 0x[0-9a-f]+.*\(most recent call first\):$")


def explained(output: str, status: int, late_secs: float | None) -> str:
    """Why the preflight failed: a line, and up to LINES of what it printed; "" if it did not.

    ``status`` is negative for a signal; ``late_secs`` is the time after which it was asked to
    end, None if it ended by itself.
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if late_secs is not None:
        ending = f"not loaded within {late_secs:g} s"
    elif status == 0:
        return ""
    else:
        ending = _ending(status)
    if (late_secs is not None or status < 0) and (frames := _dump(lines)):
        # A dump begins with what a traceback ends with.
        return "\n".join([f"{ending}; it stood here (most recent call first):", *frames[:LINES]])
    if late_secs is None:
        # One line says what, the traceback before it where.
        ending = _exception(lines) or ending
    return _joined(ending, lines)


def command_explained(output: str, status: int, late_secs: float | None) -> str:
    """The same of a command that is not a preflight."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if late_secs is not None:
        return _joined(f"it had not ended within {late_secs:g} s", lines)
    if status == 0:
        return ""
    ending = (
        f"it left with status {status}"
        if status > 0
        else (f"it died of {signal.Signals(-status).name}")
    )
    return _joined(ending, lines)


def stands_at_its_end(output: str) -> bool:
    """Whether a dump shows an interpreter that has finished and waits for its threads."""
    frames = _dump(output.splitlines())
    return (
        bool(frames)
        and re.search(r'threading\.py", line \d+ in _shutdown$', frames[-1]) is not None
    )


def _dump(lines: list[str]) -> list[str]:
    """The frames of the thread that was asked where it stands: the main one, as a rule."""
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
    """The last traceback's own line, or what Gunicorn says in place of one."""
    starts = [index for index, line in enumerate(lines) if line.startswith("Traceback (most")]
    if starts:
        return next((line for line in lines[starts[-1] + 1 :] if not line[0].isspace()), "")
    return next((line for line in reversed(lines) if line.startswith("Error: ")), "")


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "it was killed: out of memory?"
    if status < 0:
        return f"it died of {signal.Signals(-status).name}"
    if status in (126, 127):  # a shell's
        return "its command cannot be executed"
    return f"it left with status {status} while it loaded the application (sys.exit?)"


def _joined(first: str, lines: list[str]) -> str:
    tail = [line for line in lines[-LINES:] if line != first]
    return "\n".join([first, *tail])
