import pytest

from pagefault.policies.contract import PolicyError
from pagefault.policies.eviction.saved import Saved

STATE = {
    "policy": "mine",
    "pages": [["a", 1], ["b", 2], ["c", 3]],
    "arriving": "c",
    "queue": ["b", "a"],
    "uses": [["a", 1], ["b", 0]],
    "scores": [["a", 1], ["b", 0.5]],
    "times": [["a", [1, 2]], ["b", []]],
    "clock": 7,
    "level": 0.5,
}


def test_reads_what_was_dumped() -> None:
    saved = Saved("mine", STATE)
    assert saved.resident == {"a": 1, "b": 2, "c": 3}
    assert list(saved.queue("queue")) == ["b", "a"]
    assert saved.resident_numbers("uses") == {"a": 1, "b": 0}
    assert saved.fractions("scores") == {"a": 1.0, "b": 0.5}
    assert saved.lists("times") == [("a", [1, 2]), ("b", [])]
    assert (saved.whole("clock"), saved.number("level")) == (7, 0.5)
    saved.check_places()


@pytest.mark.parametrize(
    ("reader", "field", "value"),
    [
        ("queue", "queue", ["a", "z"]),
        ("queue", "queue", [1]),
        ("queue", "queue", "ab"),
        ("resident_numbers", "uses", [["a", 1]]),
        ("numbers", "uses", [["a", 1.5]]),
        ("numbers", "uses", [["a", 1], ["a", 2]]),
        ("fractions", "scores", [["a", "high"]]),
        ("lists", "times", [["a", ["early"]]]),
        ("whole", "clock", True),
        ("whole", "clock", 1.5),
        ("number", "level", "high"),
    ],
)
def test_names_the_field_that_is_not_as_dumped(reader: str, field: str, value: object) -> None:
    saved = Saved("mine", {**STATE, field: value})
    with pytest.raises(PolicyError, match=rf"^mine\.state\.{field}"):
        getattr(saved, reader)(field)


def test_every_page_has_one_place() -> None:
    for queue in (["a"], ["a", "b", "c"], ["a", "a", "b"]):
        saved = Saved("mine", {**STATE, "queue": queue})
        saved.queue("queue")
        with pytest.raises(PolicyError, match=r"^mine\.state: .* allowed: each of \['a', 'b', 'c'\] once$"):
            saved.check_places()
