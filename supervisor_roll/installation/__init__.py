"""Runs as the console script ``supervisor-roll``: ``doctor`` checks an installation, ``init`` makes
one. Both work on files, and the doctor asks a running supervisord too; neither needs one.
"""
