from __future__ import annotations

import pytest

from pagefault.policies.consolidation.reflect import Reflect
from pagefault.policies.contract import PolicyError, Rest


def test_importance_adds_up_and_what_nobody_rated_counts_half() -> None:
    reflect = Reflect(importance=4, idle_s=2)
    assert reflect.wait_ms(Rest(5, 3.9, 0, 0)) is None
    assert reflect.wait_ms(Rest(5, 4.0, 0, 0)) == 2_000
    assert reflect.wait_ms(Rest(9, 2.0, 4, 0)) == 2_000
    assert "9 passages are new" in reflect.instructions(Rest(9, 2.0, 4, 0))


def test_settings_are_checked() -> None:
    with pytest.raises(PolicyError, match=r"reflect\.importance: found"):
        Reflect(importance=0)
