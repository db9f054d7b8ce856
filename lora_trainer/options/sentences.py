"""Sentences that a word is trained with where the pictures have no captions worth it (use_object_template, ..style..).

They say what any picture may be, and nothing of what is in it, so that all else is left for the word to stand for.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import InputError, InputErrors
from .data_spec import NO_CAPTIONS, DataSpec, SubsetSpec
from .trained import WITH_WORD, TrainedOptions

_PHOTOS = ("photo", "close-up photo", "cropped photo", "bright photo", "dark photo", "good photo", "rendering", "depiction")
OBJECT = tuple(
    f"{article} {photo} of {whose}{{}}"
    for photo in _PHOTOS
    for article, whose in (("a", "a "), ("the", "the "), ("a", "my "), ("a", "one "))
)
_WORKS = ("painting", "picture", "drawing", "rendering", "detail", "large painting", "small painting", "dark painting")
STYLE = tuple(f"a {work} {how} {{}}" for work in _WORKS for how in ("in the style of", "made in the style of", "by"))


def sentences(options: TrainedOptions) -> tuple[str, ...]:
    """The sentences that the options ask for, with the word in them; none where the captions count."""
    if options.trains not in WITH_WORD:
        return ()
    chosen = OBJECT if options.use_object_template else STYLE if options.use_style_template else ()
    return tuple(sentence.format(options.token_string) for sentence in chosen)


def told_by(data: DataSpec, options: TrainedOptions) -> DataSpec:
    """`data` with the sentences, in turns, as the captions of all training pictures, where the options ask for them.

    Regularisation images keep theirs: they show what the word does not stand for.
    """
    lines = sentences(options)
    if not lines:
        return data

    if any(subset.metadata_file for one in data.datasets for subset in one.subsets):
        field = "use_object_template" if options.use_object_template else "use_style_template"
        message = f"{field} is for pictures in folders; a metadata file has captions for its own."
        raise InputErrors([InputError(message, field=field, advice="Leave it out, or give the folder as train_data_dir.")])

    def changed(subset: SubsetSpec) -> SubsetSpec:
        words = "\n".join(lines)
        return (
            subset
            if subset.is_reg
            else replace(subset, class_tokens=words, caption_extension=NO_CAPTIONS, enable_wildcard=True)
        )

    datasets = tuple(replace(one, subsets=tuple(changed(subset) for subset in one.subsets)) for one in data.datasets)
    return replace(data, datasets=datasets)
