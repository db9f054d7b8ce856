"""What keeps a training from going on from a LoRA file (network_weights), told from the file's header. No torch."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from . import bundled, files


def words_of(path: Path | str) -> list[str]:
    """The words that were trained with the LoRA and lie in its file. Raises LoraFileError as `files.read_header` does."""
    return bundled.names_in(files.read_header(path)[0])


def check_words(path: Path | str, word: str | None, *, init_word: str | None = None) -> None:
    """Raise InputError where a training of `word` (None: of none) would lose a word of the file, or init_word has no effect."""
    there = words_of(path)
    lost = [name for name in there if name != word]
    if lost:
        named = ", ".join(lost)
        raise InputError(
            f"{path} holds the word {named}, which was trained with the LoRA and would be lost.",
            field="network_weights",
            advice=f"Give token_string {lost[0]} to train it on (trains pivotal)."
            if len(there) == 1
            else "A training knows one word: go on from a LoRA that has no more.",
        )
    if there and init_word:
        message = f"init_word has no effect: the word {word} of {path} is trained on."
        raise InputError(message, field="init_word", advice="Leave init_word out.")
