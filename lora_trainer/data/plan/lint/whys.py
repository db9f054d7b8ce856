"""Why each kind of finding matters, by its code: what happens to the training when it stays as it is."""

from __future__ import annotations

WHY: dict[str, str] = {
    # files
    "damaged": "A picture that ends in the middle would stop the training, or teach it grey areas.",
    "encoding": "Letters of another encoding become other letters, so that the words that are trained are none.",
    "not_trained": "These files look like training images, but the training passes them over, so that it learns from fewer.",
    "shared_caption": "Both pictures are trained with the one caption, which can be right for only one of them.",
    "animated": "Only the first picture of an animation is trained, which is often a title or black.",
    "colours": "The picture may be trained in other colours than a viewer shows, and is drawn in those then.",
    # captions
    "no_caption": (
        "What no caption names becomes part of what is always drawn: ground, clothes and pose come with the subject."
    ),
    "empty_caption": "A picture without words is learned for every prompt, also for those without your words.",
    "more_lines": "Only the first line is trained: what stands in the others is not learned as words.",
    "caption_name": "The caption is used, but another program may not find it under this name.",
    "unused_caption": (
        "A caption that belongs to no image is often one whose image was renamed, which is trained without it now."
    ),
    "long_caption": "The text encoder reads no further than this: what comes behind it is not learned as words.",
    "brackets": "A bracket without its partner weighs, or chooses from, everything behind it, or is trained as a word itself.",
    "same_caption": (
        "Where all captions are the same they tell nothing apart: all that the pictures have in common belongs to the words."
    ),
    "repeated_caption": "A caption that was copied describes the wrong picture, which teaches the words something else.",
    "misspelt_tag": (
        "A misspelt tag is another word for the model: what it shows is not learned for the tag that you will write."
    ),
    "mixed_captions": (
        "Prompts work best that are written like the captions of the training; of two kinds each is learned by half."
    ),
    # words
    "identifier_absent": (
        "What the captions do not say cannot be called: the subject is then learned for the other words of the caption."
    ),
    "identifier_in_reg": "Regularisation pictures show the class without your subject; named by its word they unlearn it.",
    "identifier_tokens": "A word of many tokens takes more steps to learn, and parts of it may mean something already.",
    "identifier_common": "The training has to unlearn what the word means first, and the word is spoilt for all other prompts.",
    "class_missing": (
        "With a class the model begins with what it knows of such things; without one it begins with nothing, and takes longer."
    ),
    # pictures
    "duplicate": "A picture that is there twice is learned twice as much: its ground and pose come out in every drawing.",
    "near_duplicate": (
        "Pictures that are nearly the same count as one that is shown more often: its details are learned by heart."
    ),
    "reg_is_training": (
        "A picture on both sides is taught as your subject and as anything of its class at once: each undoes the other."
    ),
    "transparent": (
        "What is transparent is trained as white, so that your subject is drawn on white; alpha_mask leaves it out."
    ),
    "mask_missing": "A picture without a mask teaches its background too, which the masks of the others leave out.",
    "mask_odd": "What a mask does not show in white is learned less, or not at all.",
    "masks_unused": "As long as masked_loss is off the masks change nothing: the background is learned with the subject.",
    "bars": "Bars and frames are learned like everything else that the pictures share, and are drawn again.",
    "same_mark": "A watermark or signature is what such pictures have most in common: the LoRA learns it first, and draws it.",
    "flat": "A picture that shows nothing teaches that your words mean nothing.",
    "extreme_shape": "Of such a picture much is cut off, and what is left may not show what the caption says.",
    "enlarged": "A small picture made large is blurred, and blur is learned like a style.",
    "cropped": "What was cut off is not seen, though the caption may still speak of it.",
    "other_size": "A picture of another shape loses its edges: heads and feet are cut off.",
    # numbers
    "unfilled_bucket": (
        "Such a batch learns from fewer pictures at once, which makes its steps rougher, and more steps are needed."
    ),
    "unbalanced": "What is shown more often is learned first; when the other one is learned, the first is overdone.",
    "reg_few": (
        "A few regularisation pictures that are shown again and again are learned by heart, instead of keeping the class."
    ),
    "reg_unused": (
        "An epoch takes no more of them than there are training pictures; the others have their turn in later epochs."
    ),
    "reg_is_folder": "The same pictures cannot be both the subject and everything of its class.",
    "shown_seldom": "A picture that was seen a few times has left little trace: the result will have a weak effect.",
    "shown_often": "Pictures that are seen very often are learned by heart, and little else is drawn.",
}
