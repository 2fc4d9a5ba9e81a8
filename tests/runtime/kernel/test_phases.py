from __future__ import annotations

from pagefault.runtime.kernel.events import EVENT_TYPES
from pagefault.runtime.kernel.phases import TABLE
from pagefault.runtime.kernel.state import Phase


def test_every_phase_has_a_row_and_every_event_a_place_in_it() -> None:
    assert set(TABLE) == set(Phase)
    missing = {(phase, event) for phase in Phase for event in EVENT_TYPES if event not in TABLE[phase]}
    assert not missing


def test_handlers_say_what_they_do() -> None:
    handlers = {handler for row in TABLE.values() for handler in row.values()}
    assert all(handler.__doc__ for handler in handlers)
