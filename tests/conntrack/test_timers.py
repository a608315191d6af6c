"""Timers: exact to the millisecond, whatever the order in which they are set and moved."""

from __future__ import annotations

import random

from ovsct.conntrack.timers import NEVER, Timed, Timers, milliseconds


class Thing(Timed):
    __slots__ = ("name",)

    def __init__(self, name: int, expires: int) -> None:
        super().__init__(expires)
        self.name = name


def test_milliseconds_are_those_of_the_decimal_number() -> None:
    assert milliseconds(0.0) == 0
    assert milliseconds(12.345) == 12345
    assert milliseconds(0.0009) == 0
    assert milliseconds(0.000999) == 0
    assert all(milliseconds(n / 1000) == n for n in range(0, 200_000, 7))
    base = 1_700_000_000
    assert all(milliseconds(base + n / 1000) == base * 1000 + n for n in range(1000))


def test_ends_at_its_millisecond_and_not_before() -> None:
    timers: Timers[Thing] = Timers()
    thing = Thing(1, 5000)
    timers.arm(thing)
    assert timers.next_deadline() <= 5000
    assert timers.due(4999) == []
    assert timers.due(5000) == [thing]
    assert timers.due(9999) == [] and len(timers) == 0
    assert timers.next_deadline() == NEVER


def test_a_later_deadline_needs_no_word() -> None:
    timers: Timers[Thing] = Timers()
    thing = Thing(1, 5000)
    timers.arm(thing)
    thing.expires = 7000
    assert timers.due(6999) == []
    thing.expires = 7001
    assert timers.due(7000) == []
    assert timers.due(7001) == [thing]


def test_an_earlier_deadline_is_armed() -> None:
    timers: Timers[Thing] = Timers()
    thing = Thing(1, 86_400_000)
    timers.arm(thing)
    thing.expires = 30
    timers.arm(thing)
    assert timers.due(30) == [thing]
    assert timers.due(90_000_000) == []


def test_disarmed_things_are_let_go() -> None:
    timers: Timers[Thing] = Timers()
    things = [Thing(n, 1000 * n) for n in range(5000)]
    for thing in things:
        timers.arm(thing)
    for thing in things[1:]:
        timers.disarm(thing)
    assert len(timers) == 1
    timers.arm(Thing(-1, 1))
    assert [thing.name for thing in timers.due(10_000_000)] == [0, -1]


def test_same_as_a_plain_search_under_random_moves() -> None:
    for seed in range(20):
        dice = random.Random(seed)
        timers: Timers[Thing] = Timers()
        live: dict[int, Thing] = {}
        now = 0
        for step in range(2000):
            what = dice.random()
            if what < 0.4:
                thing = Thing(step, now + dice.choice((1, 30, 900, 30_000, 5_000_000)))
                live[step] = thing
                timers.arm(thing)
            elif what < 0.7 and live:
                thing = dice.choice(list(live.values()))
                thing.expires = now + dice.choice((0, 1, 500, 40_000, 9_000_000))
                timers.arm(thing)
            elif what < 0.75 and live:
                timers.disarm(live.pop(dice.choice(list(live))))
            else:
                now += dice.choice((0, 1, 7, 999, 1024, 40_000))
                ended = timers.due(now)
                expected = sorted(t.expires for t in live.values() if t.expires <= now)
                assert [thing.expires for thing in ended] == expected
                for thing in ended:
                    del live[thing.name]
            assert len(timers) == len(live)


def test_moving_back_and_forth_does_not_pile_up() -> None:
    timers: Timers[Thing] = Timers()
    thing = Thing(1, NEVER - 1)
    for n in range(20_000):
        thing.expires = 10_000_000 - n
        timers.arm(thing)
    assert sum(map(len, timers._buckets.values())) < 3000
    assert timers.due(10_000_000) == [thing]


class Counted(Thing):
    """A thing that counts how often its deadline is read."""

    __slots__ = ("_expires",)
    looks = 0

    @property
    def expires(self) -> int:  # type: ignore[override]
        Counted.looks += 1
        return self._expires

    @expires.setter
    def expires(self, value: int) -> None:
        self._expires = value


def crowd(patience: int, size: int = 3000) -> tuple[Timers[Thing], list[Thing]]:
    """Things that were to end within one second, and were all refreshed but the first."""
    timers: Timers[Thing] = Timers(patience)
    things: list[Thing] = [Counted(n, 30_000 + n % 1000) for n in range(size)]
    for thing in things:
        timers.arm(thing)
    for thing in things[1:]:
        thing.expires = 86_400_000 + thing.name
    return timers, things


def test_a_crowd_that_was_refreshed_is_looked_at_a_part_at_a_time() -> None:
    timers, things = crowd(patience=100)
    told: list[Thing] = []
    most = calls = 0
    while len(told) < 1:
        Counted.looks = 0
        told += timers.due(10_000_000)
        most, calls = max(most, Counted.looks), calls + 1
    assert most <= 3 * 101 and calls <= 31
    assert told == [things[0]]
    assert not timers.due(86_399_999)


def test_a_crowd_is_looked_at_ahead_so_that_none_is_told_late() -> None:
    timers, things = crowd(patience=100)
    for now in range(20_000, 30_000, 100):
        assert not timers.due(now)
    assert timers.due(29_999) == []
    assert timers.due(30_000) == [things[0]]


def test_what_has_ended_is_told_at_once_however_much_it_is() -> None:
    timers: Timers[Thing] = Timers(patience=10)
    things = [Thing(n, 5000 + n) for n in range(5000)]
    for thing in things:
        timers.arm(thing)
    assert timers.due(20_000) == things


def test_with_patience_nothing_is_told_early_twice_or_never() -> None:
    for seed in range(20):
        dice = random.Random(seed)
        timers: Timers[Thing] = Timers(patience=3)
        live: dict[int, Thing] = {}
        now = 0
        for step in range(1500):
            what = dice.random()
            if what < 0.5:
                thing = Thing(step, now + dice.choice((1, 30, 900, 30_000)))
                live[step] = thing
                timers.arm(thing)
            elif what < 0.8 and live:
                thing = dice.choice(list(live.values()))
                if thing.expires > now:
                    thing.expires = now + dice.choice((0, 1, 500, 40_000))
                    timers.arm(thing)
            else:
                now += dice.choice((0, 1, 7, 999, 1024, 40_000))
                for thing in timers.due(now):
                    assert live.pop(thing.name).expires <= now
        now += 10_000_000
        for _ in range(3000):
            for thing in timers.due(now):
                assert live.pop(thing.name).expires <= now
        assert not live and len(timers) == 0
