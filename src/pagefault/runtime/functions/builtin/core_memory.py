"""Editing the working blocks, after MemGPT's ``core_memory_append`` and ``core_memory_replace``.

Unlike the original an edit is all or nothing, the old text may not be empty (which blew the block up), and
read-only blocks stay as they are.
"""

from __future__ import annotations

from pagefault.runtime.functions.decorator import function
from pagefault.runtime.kernel.functions import Block, CallProblem, Done, MemoryView, Outcome, SetBlock


@function
def core_memory_append(view: MemoryView, label: str, content: str) -> Outcome:
    """Add a line to a block of core memory, which is always in your context.

    Args:
        label: Which block, such as human or persona.
        content: What to add.
    """
    block = _writable(view, label)
    if not content.strip():
        raise CallProblem("The content is empty; write what to add.")
    return _edited(block, f"{block.text}\n{content}" if block.text else content)


@function(effect="idempotent")
def core_memory_replace(view: MemoryView, label: str, old_content: str, new_content: str) -> Outcome:
    """Replace text in a block of core memory, wherever it occurs there. To delete it, use an empty new_content.

    Args:
        label: Which block, such as human or persona.
        old_content: What to replace, exactly as it is written in the block.
        new_content: What to put in its place.
    """
    block = _writable(view, label)
    if not old_content:
        raise CallProblem(
            "old_content is empty; copy the text to replace from the block, or call core_memory_append to add to it."
        )
    if old_content not in block.text:
        raise CallProblem(
            f"old_content does not occur in the block {label!r}; it must be copied exactly, letter for letter. "
            + (f"The block now reads:\n{block.text}" if block.text else "The block is empty.")
        )
    return _edited(block, block.text.replace(old_content, new_content))


def _writable(view: MemoryView, label: str) -> Block:
    block = view.blocks.get(label)
    if block is None:
        labels = ", ".join(repr(each) for each in view.blocks) or "none"
        raise CallProblem(f"There is no block {label!r} in core memory; the blocks are: {labels}.")
    if block.read_only:
        raise CallProblem(f"The block {label!r} is read-only; keep this elsewhere, for example in archival memory.")
    return block


def _edited(block: Block, text: str) -> Outcome:
    if len(text) > block.limit_chars:
        raise CallProblem(
            f"Edit failed: the block {block.label!r} would have {len(text)} characters, its limit is "
            f"{block.limit_chars}. Summarise what is in it with core_memory_replace, or put the details into "
            "archival memory with archival_memory_insert."
        )
    return Done(f"{block.label} has {len(text)} of {block.limit_chars} characters.", (SetBlock(block.label, text),))
