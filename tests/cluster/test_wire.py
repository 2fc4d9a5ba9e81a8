from __future__ import annotations

import pytest

from pagefault.cluster.wire import pack, pack_error, unpack, unpack_error
from pagefault.runtime import errors
from pagefault.runtime.host.records import Receipt
from pagefault.runtime.values import Interrupt, InterruptId, InterruptKind, PageId, Priority


def test_what_is_packed_comes_back() -> None:
    interrupt = Interrupt(InterruptId("i"), InterruptKind.MESSAGE, Priority.USER, "user", "hello")
    receipt = Receipt(True, page_id=PageId("p1"))
    assert unpack(pack([["ada", interrupt], receipt, None, 3])) == [["ada", interrupt], receipt, None, 3]


def test_what_is_no_data_of_ours_is_refused() -> None:
    with pytest.raises(errors.StoreCorrupt):
        unpack(b"\x80\x04N.")  # a pickle


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"ConfigError", "ContextTooSmall"}))
def test_every_error_of_ours_comes_back_as_what_it_was(name: str) -> None:
    error = getattr(errors, name)("what was wrong")
    again = unpack_error(pack_error(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_errors_keep_what_their_readers_need() -> None:
    busy = unpack_error(pack_error(errors.Overloaded("full", 250)))
    assert isinstance(busy, errors.Overloaded)
    assert busy.retry_after_ms == 250
    failed = unpack_error(pack_error(errors.AgentFailed("no", "step_limit")))
    assert isinstance(failed, errors.AgentFailed)
    assert failed.reason == "step_limit"
    wrong = unpack_error(pack_error(errors.ConfigError("a.b", 3, "4")))
    assert isinstance(wrong, errors.UsageError)
    assert "a.b" in str(wrong)
    assert "KeyError" in str(unpack_error(pack_error(KeyError("x"))))
