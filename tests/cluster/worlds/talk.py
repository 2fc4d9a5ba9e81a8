"""A short conversation in LoCoMo's format, written for these tests."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

TURNS = {
    "D1:1": ("Mirela", "I finally repaired the old rowing boat in the shed."),
    "D1:2": ("Tomas", "Good! I spent the week learning to bake rye bread."),
    "D1:3": ("Mirela", "My sister Anouk moved to Trondheim for her studies in geology."),
    "D1:4": ("Tomas", "Does she like it there?"),
    "D1:5": ("Mirela", "She does, apart from the rain."),
    "D1:6": ("Tomas", "We adopted a greyhound and called her Quince."),
    "D2:1": ("Tomas", "Quince ate a whole loaf of my bread yesterday!"),
    "D2:2": ("Mirela", "Then your baking must be good. I rowed across the lake on Sunday."),
    "D2:3": ("Tomas", "In the repaired boat?"),
    "D2:4": ("Mirela", "Yes, though it leaked near the stern."),
    "D2:5": ("Tomas", "I have signed up for a course in beekeeping."),
    "D2:6": ("Mirela", "Here is the hive that my neighbour painted."),
}
PHOTO = ("D2:6", "a yellow beehive under an apple tree")
QUESTIONS: list[dict[str, Any]] = [
    {"question": "Which city did Anouk move to?", "answer": "Trondheim", "evidence": ["D1:3"], "category": 4},
    {"question": "What is Tomas's greyhound called?", "answer": "Quince", "evidence": ["D1:6"], "category": 4},
    {"question": "When did Mirela row?", "answer": "Sunday", "evidence": ["D2:2", "D9:9"], "category": 2},
    {"question": "What happened to the rowing boat?", "evidence": ["D1:1", "D2:4"], "answer": 2, "category": 1},
    {"question": "What does Tomas keep in his cellar?", "adversarial_answer": "wine", "evidence": ["D2:1; D2:2"],
     "category": 5},
]  # fmt: skip


def talk() -> dict[str, Any]:
    conversation: dict[str, Any] = {
        "speaker_a": "Mirela",
        "speaker_b": "Tomas",
        "session_1_date_time": "4:05 pm on 2 March, 2024",
        "session_2_date_time": "10:30 am on 9 Apr, 2024",
        "session_3_date_time": "11:00 am on 1 May, 2024",
        "session_1": [],
        "session_2": [],
    }
    for key, (speaker, text) in TURNS.items():
        turn = {"dia_id": key, "speaker": speaker, "text": text}
        if key == PHOTO[0]:
            turn["blip_caption"] = PHOTO[1]
        conversation[f"session_{key[1]}"].append(turn)
    return {"sample_id": "lake", "conversation": conversation, "qa": deepcopy(QUESTIONS)}


def write_talk(folder: Path) -> Path:
    path = folder / "talk.json"
    path.write_text(json.dumps([talk()]))
    return path
