"""What is known of instances is bounded, whatever becomes of them."""

from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.instances import MAX_GONE, Instances


def test_of_those_that_are_gone_the_last_are_remembered() -> None:
    instances = Instances([])
    for pid in range(2, MAX_GONE + 10):
        instances.known(InstanceId(pid, 1), now=0)
        assert instances.exited(InstanceId(pid, 1)) is not None
    assert len(instances.gone) == MAX_GONE
    late = tuple(instances.gone[-3:])
    assert instances.observed(late, fresh=True, surplus=0, now=1) == len(late)
    assert not list(instances), "what is said late brings nobody back"
