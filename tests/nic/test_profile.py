"""What a NIC can do, as the user may give it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from ovsct.errors import InputError
from ovsct.nic.profile import PROFILES, SOURCES, LabelMatch, Profile, get_profile
from ovsct.packet.fields import CT_EST, CT_NEW, CT_TRK


def test_every_value_of_mlx5_has_a_source() -> None:
    assert set(SOURCES) == {each.name for each in fields(Profile)}


def test_the_kernels_differ() -> None:
    old, new = (get_profile("mlx5", kernel) for kernel in ("6.1", "6.12"))
    assert not old.ct_state_set & CT_NEW and new.ct_state_set & CT_NEW
    assert (old.resume_at_action, new.resume_at_action) == (False, True)
    assert (old.unreplied_new, new.unreplied_new) == (False, True)
    assert (old.nat_in_both, new.nat_in_both) == (True, False)
    assert set(PROFILES["mlx5"]) == {"6.1", "6.12"}


def test_a_mapping_changes_a_profile() -> None:
    made = get_profile(
        {"base": "mlx5", "name": "mine", "ct_state_set": ["trk", "est"], "label_match": "masked",
         "protocols": [6], "max_connections": 10, "max_zones": None, "poll": 2, "ct": True},
        "6.12",
    )  # fmt: skip
    assert made.name == "mine" and made.ct_state_set == CT_TRK | CT_EST
    assert made.label_match is LabelMatch.MASKED and made.protocols == frozenset((6,))
    assert (made.max_connections, made.max_zones, made.poll) == (10, None, 2.0)
    assert get_profile(made, "6.1") is made


def test_the_delay_is_that_of_the_work_queue() -> None:
    made = get_profile("mlx5", "6.1", 0.25)
    assert (made.insertion_delay, made.removal_delay) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("wanted", "kernel", "words"),
    [
        ("bnxt", "6.1", "no such NIC profile: 'bnxt'"),
        ("mlx5", "5.4", "not known for this kernel: '5.4'"),
        ({"max_zone": 3}, "6.1", "did you mean 'max_zones'"),
        ({"ct_state_set": ["est", "foo"]}, "6.1", "not a value for ct_state_set"),
        ({"label_match": "some"}, "6.1", "expected none, exact, masked"),
        ({"ct": 1}, "6.1", "expected true or false"),
        ({"protocols": [300]}, "6.1", "a list of IP protocol numbers"),
        ({"poll": 0}, "6.1", "expected seconds"),
        ({"insertion_delay": -1}, "6.1", "expected seconds"),
        ({"max_rules": "many"}, "6.1", "expected a number"),
        ({"base": "x"}, "6.1", "no such NIC profile"),
    ],
)
def test_refused(wanted: Any, kernel: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        get_profile(wanted, kernel)
    assert words in str(caught.value)
