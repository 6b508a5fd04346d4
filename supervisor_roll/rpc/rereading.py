"""Reading the configuration files again, as supervisor's own reloadConfig does.

That one lets through what is no ValueError, and passes over an included file that it may not
read, as if its programs had been removed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from supervisor_roll.rpc import internals

# supervisor keeps no list of what it has included, but says so (ServerOptions.read_config).
_INCLUDED = re.compile(r'Included extra file "(.*)" during parsing', re.DOTALL)


def reread(supervisord: Any) -> dict[str, Any]:
    """The new group configurations by name.

    Raises ValueError, whatever is wrong with a file, with a text that names it as far as that is
    known; then nothing has changed.
    """
    options = supervisord.options
    before = options.process_group_configs
    try:
        options.process_config(do_usage=False)
        for path in _included(options):
            if Path(path).is_file() and not os.access(path, os.R_OK):
                raise PermissionError(f"could not read config file {path}")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a file is the file's
        options.process_group_configs = before
        text = " ".join(str(error).split()) or type(error).__name__
        if not any(path in text for path in [options.configfile, *_included(options)]):
            text += f" (read from {options.configfile})"
        raise ValueError(text) from None
    return internals.new_groups(supervisord)


def _included(options: Any) -> list[str]:
    found = (_INCLUDED.fullmatch(text) for text in options.parse_infos)
    return [one[1] for one in found if one is not None]
