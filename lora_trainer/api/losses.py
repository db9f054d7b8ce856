"""How well a run learned each picture, as its worker wrote it (beside the pictures of a data set: `datasets.learning`).

`relative` compares at the same noise levels: 1 is usual, more is a picture that the training could not bring together with
its caption.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from ..foreign.json_text import read_table
from ..runs.folder import RunFolder
from . import folders
from .answers import answer, missing
from .service import Service

_SHOWN = 60  # pictures in an answer
_LARGEST = 128 << 20  # bytes: 100,000 pictures with long captions


def rows_of(folder: RunFolder) -> list[dict[str, Any]]:
    """The rows of a run's file, the worst learned first; none where there is no file, or it is damaged."""
    rows = read_table(folder.losses, limit=_LARGEST).get("pictures")
    good = [row for row in rows if _is_row(row)] if isinstance(rows, list) else []
    return sorted(good, key=lambda row: -row["relative"])


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("path"), str) or not isinstance(row.get("caption"), str):
        return False
    numbers = (row.get("loss"), row.get("relative"), row.get("seen"))
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one) for one in numbers)


async def _of_run(service: Service, request: Request) -> Response:
    """The pictures of a run that were learned worst."""

    def look() -> dict[str, Any]:
        run = service.store.get(request.path_params["id"])
        if run is None:
            raise missing(f"run {request.path_params['id']!r}")
        rows, access = rows_of(service.supervisor.folder(run.id)), service.host.access()
        seen: dict[str, bool] = {}
        shown = []
        for row in rows[:_SHOWN]:
            folder = Path(row["path"]).parent
            if seen.setdefault(str(folder), folders.problem(folder, access, "") is None):
                thumb = urlencode({"folder": str(folder), "name": Path(row["path"]).name}, errors="surrogateescape")
                told = {name: row[name] for name in ("caption", "loss", "relative", "seen")}
                shown.append({"name": Path(row["path"]).name, "folder": str(folder), "thumb": f"images/thumb?{thumb}", **told})
        return {"pictures": shown, "total": len(rows)}

    return answer(await service.look(look))


TABLE = [("GET", "runs/{id}/losses", _of_run)]
