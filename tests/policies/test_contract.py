import pickle

from pagefault.policies.contract import PolicyError


def test_an_error_names_field_found_and_allowed_and_survives_a_process_boundary() -> None:
    error = PolicyError("lru.size", "big", "a number")
    assert str(error) == "lru.size: found 'big', allowed: a number"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(copy) is PolicyError
    assert issubclass(PolicyError, ValueError)
    assert (copy.field, copy.found, copy.allowed) == (error.field, error.found, error.allowed)
