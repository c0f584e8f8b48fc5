"""How often: waits grow and end, nobody is kept out for good, and nothing grows without end."""

from hypothesis import given
from hypothesis import strategies as st

from controller.accounts import rate_limits
from controller.accounts.rate_limits import LONGEST_WAIT_S, RequestLimit, SignInThrottle, StreamLimit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 60))
def test_waits_grow_and_are_never_longer_than_half_a_minute(tries: int) -> None:
    clock = Clock()
    throttle = SignInThrottle(clock)
    waits = []
    for _ in range(tries):
        assert throttle.begin("anna", "10.0.0.7") == 0.0
        waits.append(round(throttle.begin("anna", "10.0.0.7"), 3))
        clock.now += waits[-1] + 0.01
    assert waits == sorted(waits)
    assert max(waits) <= LONGEST_WAIT_S
    assert waits[:2] == [0.0] * len(waits[:2])


def test_who_guesses_from_elsewhere_keeps_nobody_out() -> None:
    clock = Clock()
    throttle = SignInThrottle(clock)
    throttle.begin("anna", "10.0.0.7")
    throttle.succeeded("anna", "10.0.0.7")
    for number in range(200):
        throttle.begin("anna", f"10.0.1.{number}")
    assert throttle.begin("anna", "10.0.1.250") > 0
    assert throttle.begin("anna", "10.0.0.7") == 0.0


def test_one_address_that_tries_many_names_is_slowed_and_forgotten() -> None:
    clock = Clock()
    throttle = SignInThrottle(clock)
    waits = [throttle.begin(f"name{number}", "10.0.0.9") for number in range(30)]
    assert waits[: rate_limits.FREE_ADDRESS] == [0.0] * rate_limits.FREE_ADDRESS
    assert waits[-1] > 0
    assert throttle.begin("anna", "10.0.0.7") == 0.0
    clock.now += rate_limits.FORGOTTEN_S + 1
    assert throttle.begin("name1", "10.0.0.9") == 0.0


def test_what_is_remembered_is_bounded() -> None:
    throttle = SignInThrottle(Clock())
    limit = RequestLimit(1.0, 2.0, Clock())
    for number in range(rate_limits.MOST_KEYS + 50):
        throttle.begin(f"n{number}", f"a{number}")
        limit.wait_s(number)
    assert len(throttle._tries) <= rate_limits.MOST_KEYS + 1
    assert len(limit._left) <= rate_limits.MOST_KEYS


def test_a_burst_then_so_many_a_second() -> None:
    clock = Clock()
    limit = RequestLimit(per_s=10.0, burst=5.0, clock=clock)
    assert [limit.wait_s("a") == 0 for _ in range(7)] == [True] * 5 + [False] * 2
    assert limit.wait_s("b") == 0
    assert 0 < limit.wait_s("a") <= 0.1
    clock.now += 0.1
    assert limit.wait_s("a") == 0
    assert limit.wait_s("a") > 0


def test_streams_of_one_and_of_all() -> None:
    limit = StreamLimit(each=2, all_=3)
    with limit.one("a") as first, limit.one("a") as second, limit.one("a") as third, limit.one("b") as fourth:
        assert (first, second, third, fourth) == (True, True, False, True)
        with limit.one(None) as fifth:
            assert not fifth
    assert limit.count == 0
    with limit.one(None) as one, limit.one(None) as two, limit.one(None) as three:
        assert one
        assert two
        assert three
