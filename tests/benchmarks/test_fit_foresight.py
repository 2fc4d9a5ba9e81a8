import json
from pathlib import Path

import numpy as np
import pytest

from pagefault.policies.eviction.foresight_features import FEATURES
from pagefault.policies.eviction.foresight_model import Model

pytest.importorskip("lightgbm", reason="the benchmark extra is not installed")
from benchmarks import fit_foresight  # after the check of what it needs

NAMES, CALLING = FEATURES.index("names"), FEATURES.index("calling")


def sample(part: int, family: int, chance: np.random.Generator) -> fit_foresight.Sample:
    """Pages with names are needed three times as often; agents of family 1 call functions."""
    features = chance.random((300, len(FEATURES)))
    features[:, CALLING] *= family
    uses = chance.poisson(np.where(features[:, NAMES] > 0.5, 0.9, 0.3)).astype(np.float64)
    return fit_foresight.Sample(part, family, (), features, uses)


def test_what_was_in_the_data_is_in_the_weights() -> None:
    chance = np.random.default_rng(3)
    document = fit_foresight.fit([sample(part, part % 2, chance) for part in range(4)])
    model = Model(json.loads(json.dumps(document)))
    for calling in (0.0, 0.5):
        few, many = ([0.5] * len(FEATURES) for _ in range(2))
        few[NAMES], many[NAMES] = 0.2, 0.8
        few[CALLING] = many[CALLING] = calling
        (low, _), (high, added) = model.rate(few), model.rate(many)
        assert 1.5 < high / low < 6
        assert max(range(len(FEATURES)), key=lambda place: added[place]) == NAMES


def test_the_same_data_give_the_same_weights() -> None:
    first, second = (
        fit_foresight.fit([sample(part, part % 2, np.random.default_rng(part)) for part in range(2)]) for _ in range(2)
    )
    assert first == second


def test_it_reads_dialogues_and_episodes_and_writes_weights_that_load(tmp_path: Path) -> None:
    turns = [
        {"speaker": "Liv" if turn % 2 else "Per", "dia_id": f"D1:{turn}", "text": f"In {1990 + turn} I met Olga."}
        for turn in range(30)
    ]
    dialogue = {
        "sample_id": "made-up",
        "conversation": {"session_1": turns},
        "qa": [{"question": "When?", "answer": "then", "evidence": [f"D1:{turn}"], "category": 1} for turn in (3, 9)],
    }
    call = {"function": {"name": "order", "arguments": '{"order": "AX4471"}'}}
    episode = {
        "task_id": 7,
        "trial": 0,
        "reward": 1.0,
        "traj": [
            {"role": "user", "content": "My order is AX4471. " + "It is late. " * 500},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "shipped"},
        ],
    }
    (tmp_path / "dialogues.json").write_text(json.dumps([dialogue]))
    (tmp_path / "episodes.json").write_text(json.dumps([episode]))
    out = tmp_path / "weights.json"
    fit_foresight.main(
        [
            *("--dialogues", str(tmp_path / "dialogues.json"), "--trajectories", str(tmp_path / "episodes.json")),
            *("--out", str(out)),
        ]
    )
    assert Model(json.loads(out.read_text())).rate([0.0] * len(FEATURES))[0] > 0
