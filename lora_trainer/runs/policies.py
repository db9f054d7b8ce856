"""What becomes of pictures that are wanted while a training has the card: a setting of each host."""

from __future__ import annotations

AUTOMATIC = "automatic"  # both use the card where its memory is enough, as it is measured; else they take turns
SHARE = "share"  # both use the card; a training that finds it too full takes turns from then on
HAND_OVER = "hand_over"  # they take turns: the training leaves the card, and comes back after the last picture
REFUSE = "refuse"  # no pictures

POLICIES = (AUTOMATIC, SHARE, HAND_OVER, REFUSE)
