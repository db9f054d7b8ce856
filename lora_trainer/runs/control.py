"""What the host asks of a worker: `control.json`, replaced whole, obeyed at the next step boundary."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..foreign.json_text import read_number, read_table
from ..paths import write_text_atomic

_asking = threading.Lock()
_COUNTERS = ("save", "sample", "park", "share", "live", "pauses")


@dataclass(frozen=True, kw_only=True)
class Control:
    """`stop` once true stays true. `save`, `sample` and `live` are counters that only grow: each growth asks for one.

    `live` asks for the weights as they are under the name that stays the same, `live_every` for that after every so many
    steps: 0 is never, None as the options say.

    `park` only grows, too: while it is odd the card is lent to somebody else, and the worker keeps off it. `paused` is the
    user's own wish for the same, for as long as they like; `pauses` counts how often that has changed. While `share` is odd
    somebody else uses the card beside the worker.
    """

    stop: bool = False
    save: int = 0
    sample: int = 0
    park: int = 0
    share: int = 0
    paused: bool = False
    pauses: int = 0
    live: int = 0
    live_every: int | None = None

    @property
    def is_off_the_card(self) -> bool:
        """Whether the worker is to leave the card and wait; one that is to stop does that first."""
        return not self.stop and (self.paused or self.park % 2 == 1)

    @property
    def is_shared(self) -> bool:
        """Whether somebody uses the card beside the worker, or is about to."""
        return self.share % 2 == 1


def read_control(path: Path) -> Control:
    """What is asked now; nothing when there is no file or it cannot be read."""
    found = read_table(path)
    counts = {counter: max(0, int(read_number(found, counter) or 0)) for counter in _COUNTERS}
    every = read_number(found, "live_every")
    return Control(
        stop=bool(found.get("stop")),
        paused=bool(found.get("paused")),
        live_every=None if every is None else max(0, int(every)),
        **counts,
    )


def ask(
    path: Path,
    *,
    stop: bool = False,
    save: bool = False,
    sample: bool = False,
    park: bool | None = None,
    share: bool | None = None,
    paused: bool | None = None,
    live: bool = False,
    live_every: int | None = None,
) -> Control:
    """Add to what is asked, atomically. Called by the host alone. Raises SaveError (disk full).

    `park` lends the card to somebody else (True) or gives it back (False), `share` begins (True) or ends to use it beside the
    worker.
    """
    with _asking:
        now = read_control(path)
        wanted = replace(
            now,
            stop=now.stop or stop,
            save=now.save + save,
            sample=now.sample + sample,
            park=now.park + (park is not None and park != bool(now.park % 2)),
            share=now.share + (share is not None and share != now.is_shared),
            paused=now.paused if paused is None else paused,
            pauses=now.pauses + (paused is not None and paused != now.paused),
            live=now.live + live,
            live_every=now.live_every if live_every is None else live_every,
        )
        write_text_atomic(path, json.dumps(asdict(wanted)) + "\n")
    return wanted
