"""Replace a Gunicorn program's workers under supervisord while it keeps serving.

A folder is a process: ``rollout`` is the pure ground, ``wire`` the codecs of what
crosses between processes, and ``hooks`` (Gunicorn), ``listener`` (an event listener),
``rpc`` (supervisord), ``ctl`` (supervisorctl) and ``installation`` (the script
``supervisor-roll``) are the hosts that our code runs in. The ground imports nothing of
ours, and no host imports another.
"""

__version__ = "0.1.0"
