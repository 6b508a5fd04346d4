"""Rows that are text already are read as the workers that they are."""

from __future__ import annotations

from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.wire.codec import from_json, to_json
from supervisor_roll.wire.workers import RESISTS, Workers, workers_text


def test_rows_of_text_are_read_as_workers() -> None:
    lives = [WorkerLife(7, release='v"1', began=1.5), WorkerLife(8, gone_at=2.0)]
    texts = {str(one.pid): to_json(one) for one in lives}
    name = 'a "name"'
    assert from_json(Workers, workers_text({name: texts, "web": {}}, 1e9)) == Workers(
        {name: lives, "web": []}, 1e9
    )
    assert from_json(Workers, workers_text({}, 0.0)) == Workers()
    resists = {**texts, RESISTS: to_json('it has "reload"')}
    assert from_json(Workers, workers_text({name: resists}, 1e9)) == Workers(
        {name: lives}, 1e9, {name: 'it has "reload"'}
    )
