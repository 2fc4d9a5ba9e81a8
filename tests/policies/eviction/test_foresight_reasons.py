from pagefault.policies.eviction.foresight_features import FEATURES
from pagefault.policies.eviction.foresight_reasons import reasons


def added(**given: float) -> list[float]:
    return [given.get(name, 0.0) for name in FEATURES]


def test_the_strongest_are_named_with_their_direction() -> None:
    found = reasons(added(new_identifiers=0.9, courtesy_share=-0.4, before_questions=0.2, kind_result=0.1))
    assert found == "+ identifiers that it brings, - courtesies, + what it answers"


def test_features_of_one_meaning_count_together() -> None:
    assert reasons(added(names=0.2, new_names=0.2, ends_asking=-0.3)) == "+ names, - questions that it asks"
    assert reasons(added(names=0.2, new_names=-0.2)) == "nothing remarkable"
    assert reasons(added(mean_length=0.3)) == "+ its length and wording"
