"""The answers of an exam in a file, one JSON object a line, so that a run that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pagefault.cluster.worlds.exam import Case, Given, Memory, Question, Task
from pagefault.runtime.errors import ConfigError, StoreUnavailable

FILE_NAME = "answers.jsonl"
_GIVEN = TypeAdapter(Given)


class Answers:
    """What was answered so far; without a folder it is forgotten at the end.

    ``terms`` is all that the answers depend on: those that were given under others are refused.  A last line that was
    cut off by a crash is dropped.  Raises :class:`~pagefault.runtime.errors.ConfigError` for the answers of another
    exam, and :class:`~pagefault.runtime.errors.StoreUnavailable` when the file cannot be used.
    """

    def __init__(self, folder: Path | None, terms: dict[str, Any]) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        self._given: dict[tuple[str, str, str], Given] = {}
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
            kept = text[: text.rfind("\n") + 1]
            if kept != text:
                self._path.write_text(kept, encoding="utf-8")
            lines = kept.split("\n")[:-1]  # answers may hold what else Python takes for the end of a line
            if not lines:
                self._path.write_text(json.dumps(terms) + "\n", encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreUnavailable(f"{self._path}: cannot be used: {error}") from error
        if lines:
            self._read(lines, terms)

    def _read(self, lines: Sequence[str], terms: dict[str, Any]) -> None:
        try:
            before = json.loads(lines[0])
            for line in lines[1:]:
                given = _GIVEN.validate_json(line)
                self._given[given.memory, given.case, given.question] = given
        except (ValueError, ValidationError) as error:
            raise ConfigError("--folder", f"{self._path}: {error}", "the answers of an exam, one a line") from None
        if not isinstance(before, dict):
            before = {}
        for name in sorted({*terms, *before}):
            if before.get(name) != json.loads(json.dumps(terms.get(name))):
                allowed = f"the folder of an exam with the same {name}: {before.get(name)!r}, not {terms.get(name)!r}"
                raise ConfigError("--folder", str(self._path), allowed)

    def has(self, memory: Memory, case: Case, question: Question) -> bool:
        """Whether a question was answered; one that failed is put again."""
        given = self._given.get((memory.value, case.name, question.key))
        return given is not None and not given.problem

    def begun(self, memory: Memory, case: Case) -> bool:
        """Whether a case has answers: then all of it had been read."""
        return any(each[:2] == (memory.value, case.name) for each in self._given)

    def add(self, given: Given) -> None:
        """Keep an answer.  Raises :class:`~pagefault.runtime.errors.StoreUnavailable`."""
        self._given[given.memory, given.case, given.question] = given
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(given), ensure_ascii=False) + "\n")
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: cannot be written: {error.strerror}") from error

    def all(self, task: Task, memories: Sequence[Memory]) -> list[Given]:
        """The answers of these memories to this exam's questions, in its order."""
        keys = [
            (memory.value, case.name, question.key)
            for memory in memories
            for case in task.cases
            for question in case.questions
        ]
        return [self._given[key] for key in keys if key in self._given]
