from pathlib import Path

import pytest

from pagefault.policies import registry
from pagefault.policies.contract import EvictionPolicy, FetchPolicy, Leave, PageFacts, PolicyError, WriteBack
from pagefault.policies.registry import UnknownPolicy, make_fetch, make_policy, make_write_back

INSTALLED = """
from pagefault.policies.eviction.lru import Lru

class Mine(Lru):
    name = "mine"
    def __init__(self, size, *, speed=1):
        super().__init__()
        self.size, self.speed = size, speed

class Half:
    name = "half"
    def choose(self, page, turn):
        return "nothing"

def everything(**given):
    return Lru()

number = 7
"""
ENTRY_POINTS = """
[pagefault.policies]
eviction.mine = installed_policies:Mine
eviction.lru = installed_policies:Half
eviction.half = installed_policies:Half
eviction.gone = installed_policies:Nowhere
eviction.number = installed_policies:number
eviction.everything = installed_policies:everything
eviction.twice = installed_policies:Mine
write_back.half = installed_policies:Half
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages with entry points, as pip would lay them down."""
    for name, points in (
        ("first", ENTRY_POINTS),
        ("second", "[pagefault.policies]\neviction.twice = elsewhere:Other\n"),
    ):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(points)
    (tmp_path / "installed_policies.py").write_text(INSTALLED)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", registry.EVICTION)
def test_every_eviction_policy_is_made_by_its_own_name(name: str) -> None:
    made = make_policy(name)
    assert isinstance(made, EvictionPolicy)
    assert made.name == name


@pytest.mark.parametrize("name", registry.WRITE_BACK)
def test_every_write_back_is_made_by_its_own_name(name: str) -> None:
    made = make_write_back(name)
    assert isinstance(made, WriteBack)
    assert made.name == name
    assert isinstance(made.choose(PageFacts(id="p1", kind="message", tokens=5), 1), Leave)


@pytest.mark.parametrize("name", registry.FETCH)
def test_every_fetch_policy_is_made_by_its_own_name(name: str) -> None:
    made = make_fetch(name)
    assert isinstance(made, FetchPolicy)
    assert made.name == name


def test_two_policies_share_nothing() -> None:
    first, second = make_policy("lru"), make_policy("lru")
    first.on_insert(PageFacts(id="p1", kind="message", tokens=5), 1)
    assert list(second.victims(5, (), 1)) == []


def test_parameters_reach_the_policy() -> None:
    page = PageFacts(id="p1", kind="result", tokens=5)
    assert make_write_back("archive", handle_results=True).choose(page, 1) is Leave.HANDLE
    assert list(make_fetch("neighbours", after=0).companions("p5", 5, 1000)) == [4]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownPolicy, match=r"^eviction: found 'lruu', allowed: one of arc, .*, lru, .*, wtinylfu$"):
        make_policy("lruu")
    with pytest.raises(UnknownPolicy, match=r"^write_back: .* one of archive, drop, handle, summarize$"):
        make_write_back("lru")
    with pytest.raises(UnknownPolicy, match=r"^fetch: .* one of demand, neighbours, related$"):
        make_fetch("")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lru", r"^lru\.size: found 3, allowed: no parameters$"),
        ("importance", r"^importance\.size: found 3, allowed: one of the parameters decay, recency_weight, "),
    ],
)
def test_an_unknown_parameter_is_answered_with_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make_policy(name, size=3)


def test_a_wrong_value_is_refused_by_the_policy_itself() -> None:
    with pytest.raises(PolicyError, match=r"^importance\.decay: found 2, allowed: "):
        make_policy("importance", decay=2)


@pytest.mark.usefixtures("installed")
class TestInstalled:
    def test_is_found_and_listed(self) -> None:
        made = make_policy("mine", size=3)
        assert (made.name, vars(made)["size"], vars(made)["speed"]) == ("mine", 3, 1)
        assert set(registry.policy_names()) >= {"mine", "fifo", "importance", "lru"}
        assert registry.write_back_names() == ("archive", "drop", "half", "handle", "summarize")
        assert registry.fetch_names() == ("demand", "neighbours", "related")

    def test_cannot_replace_what_ships(self) -> None:
        assert type(make_policy("lru")) is registry.EVICTION["lru"]

    def test_may_take_any_parameter(self) -> None:
        assert make_policy("everything", whatever=1).name == "lru"

    def test_a_missing_parameter_is_named(self) -> None:
        with pytest.raises(PolicyError, match=r"^mine\.size: found None, allowed: a value: it has no default$"):
            make_policy("mine")

    def test_half_a_policy_is_refused_with_what_it_lacks(self) -> None:
        with pytest.raises(PolicyError, match="'Half', allowed: an object that also has capabilities, dump, explain"):
            make_policy("half")

    def test_what_cannot_be_imported_is_named(self) -> None:
        with pytest.raises(PolicyError, match=r"installed_policies:Nowhere.* has no attribute 'Nowhere'"):
            make_policy("gone")
        with pytest.raises(PolicyError, match=r"installed_policies:number.* a class or a function"):
            make_policy("number")

    def test_two_packages_with_one_name_are_refused(self) -> None:
        with pytest.raises(PolicyError, match=r"elsewhere:Other from second.*installed_policies:Mine from first"):
            make_policy("twice", size=1)
