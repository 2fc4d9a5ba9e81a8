"""A dumped state, read back with care: what is missing or of the wrong type is named."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from pagefault.policies import parameters
from pagefault.policies.contract import PolicyError, State


class Saved:
    """Fields of one policy's state.  Every reader raises ``PolicyError`` for a field that is not as dumped.

    ``resident`` and ``placed`` let a policy be checked as a whole: each resident page is in one place.
    """

    def __init__(self, policy: str, state: State) -> None:
        self._policy = policy
        self._state = state
        self.resident: dict[str, int] = dict(parameters.rows(policy, state, (str, int)))
        self.arriving = self._page("arriving")
        self.placed: list[str] = [] if self.arriving is None else [self.arriving]

    def queue(self, field: str) -> OrderedDict[str, None]:
        """Resident pages in an order."""
        found = self._list(field)
        if not all(isinstance(each, str) and each in self.resident for each in found):
            raise self._problem(field, "a list of resident pages")
        self.placed += found
        return OrderedDict.fromkeys(found)

    def numbers(self, field: str) -> OrderedDict[str, int]:
        """A whole number for each of some pages, which need not be resident, in an order."""
        return OrderedDict((page_id, number) for page_id, number in self._rows(field, int))

    def resident_numbers(self, field: str) -> dict[str, int]:
        """A whole number for every resident page that is not arriving."""
        found = dict(self._rows(field, int))
        self.known(field, found)
        return found

    def lists(self, field: str) -> list[tuple[str, list[int]]]:
        """Whole numbers for each of some pages."""
        found = self._rows(field, list)
        if not all(isinstance(each, int) for _, numbers in found for each in numbers):
            raise self._problem(field, "rows of a page id and a list of whole numbers")
        return [(page_id, list(numbers)) for page_id, numbers in found]

    def fractions(self, field: str) -> dict[str, float]:
        """A number for each of some pages."""
        return {page_id: float(number) for page_id, number in self._rows(field, float)}

    def known(self, field: str, values: Collection[str]) -> None:
        """Refuse ``values`` that lack a resident page which is not arriving."""
        if missing := [page_id for page_id in self.resident if page_id != self.arriving and page_id not in values]:
            raise PolicyError(f"{self._policy}.state.{field}", missing, "a value for every resident page")

    def whole(self, field: str) -> int:
        found = self._state.get(field)
        if isinstance(found, bool) or not isinstance(found, int):
            raise self._problem(field, "a whole number")
        return found

    def number(self, field: str) -> float:
        found = self._state.get(field)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self._problem(field, "a number")
        return float(found)

    def check_places(self) -> None:
        """Every resident page is in one place, and nothing else is."""
        if sorted(self.placed) != sorted(self.resident):
            raise PolicyError(f"{self._policy}.state", sorted(self.placed), f"each of {sorted(self.resident)} once")

    def _page(self, field: str) -> str | None:
        found = self._state.get(field)
        if found is not None and not isinstance(found, str):
            raise self._problem(field, "a page id or nothing")
        return found

    def _rows(self, field: str, kind: type) -> list[tuple[str, Any]]:
        return [(row[0], row[1]) for row in parameters.rows(self._policy, self._state, (str, kind), field=field)]

    def _list(self, field: str) -> list[Any]:
        found = self._state.get(field)
        if not isinstance(found, (list, tuple)):
            raise self._problem(field, "a list")
        return list(found)

    def _problem(self, field: str, allowed: str) -> PolicyError:
        return PolicyError(f"{self._policy}.state.{field}", self._state.get(field), allowed)
