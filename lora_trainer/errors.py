"""Every exception this program raises on purpose.

    LoraTrainerError                 says what was found, what was expected and what to do
    |-- InputError                   one thing that the user gave is wrong (an option, a file, an image)
    |-- InputErrors                  several InputErrors, reported together
    |-- BaseModelError               the base model cannot be loaded (cut short, another family, a pickle with code)
    |-- LoraFileError                a LoRA file cannot be read or does not fit
    |-- TrainingError                training cannot go on
    |   |-- NotFiniteError           the loss became NaN or infinite
    |   `-- OutOfMemoryError         the card is full; says what to lower
    |-- SaveError                    a result could not be written (disk full, no permission)
    |-- HostError                    the Web UI cannot do what was asked now (busy, missing function)
    |   `-- NotYetError              it can a little later: files are being read
    |-- StoreError                   the run store cannot be used (locked by another program, damaged)
    `-- NotInstalledError            a package is missing; says how to install it

`str(error)` is the whole message for the user. A bug of ours is an `assert` or a plain Python exception instead.
"""

from __future__ import annotations

from collections.abc import Iterable


class LoraTrainerError(Exception):
    """Base of all errors that are meant for the user.

    `message` says what was found and what was expected; `advice` (may be empty) says what to do.
    """

    def __init__(self, message: str, *, advice: str = "") -> None:
        self.message = message
        self.advice = advice
        super().__init__(f"{message} {advice}".strip())


class InputError(LoraTrainerError):
    """One thing that the user gave is wrong.

    `field` is the option's name (`network_dim`) or empty; `where` names the file, and the line or key in it.
    """

    def __init__(self, message: str, *, field: str = "", where: str = "", advice: str = "") -> None:
        self.field = field
        self.where = where
        super().__init__(f"{where}: {message}" if where else message, advice=advice)


class InputErrors(LoraTrainerError):
    """Everything that is wrong with the input, in one report. `errors` holds at least one InputError."""

    def __init__(self, errors: Iterable[InputError]) -> None:
        self.errors = list(errors)
        assert self.errors, "InputErrors needs at least one error"
        super().__init__("\n".join(str(error) for error in self.errors))


class BaseModelError(LoraTrainerError):
    """The base model cannot be used."""


class LoraFileError(LoraTrainerError):
    """A LoRA file cannot be read, or does not fit the model."""


class EmbeddingFileError(LoraTrainerError):
    """An embedding file cannot be read, or does not fit the model."""


class TrainingError(LoraTrainerError):
    """Training cannot go on."""


class NotFiniteError(TrainingError):
    """The loss became NaN or infinite."""


class OutOfMemoryError(TrainingError):
    """The card (or the main memory) is full."""


class SaveError(LoraTrainerError):
    """A result could not be written."""


class HostError(LoraTrainerError):
    """The Web UI cannot do what was asked."""


class NotYetError(HostError):
    """What was asked can be done a little later; it was not done."""


class StoreError(LoraTrainerError):
    """The run store cannot be used."""


class NotInstalledError(LoraTrainerError):
    """A package that is needed is not installed."""


_FULL = ("out of memory", "not enough memory", "cannot allocate memory", "can't allocate memory", "defaultcpuallocator")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the card's or the main memory is full, whoever raised it (torch need not be there)."""
    is_named_so = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return isinstance(error, MemoryError) or is_named_so or any(words in str(error).lower() for words in _FULL)
