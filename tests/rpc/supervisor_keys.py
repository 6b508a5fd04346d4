"""The keys of a program that the supervisor of this very Python knows, as JSON."""

import inspect
import json
import re

from supervisor.options import ProcessConfig, ServerOptions

source = inspect.getsource(ServerOptions._processes_from_section)
found = set(re.findall(r"get\(section, ?'(\w+)'", source))
for key in re.findall(r"'%s_(\w+)' % k", source):
    found |= {f"stdout_{key}", f"stderr_{key}"}
print(
    json.dumps(
        {
            "compared": sorted(
                [*ProcessConfig.req_param_names, *ProcessConfig.optional_param_names]
            ),
            "read": sorted(found),
        }
    )
)
