"""What came of a tool, in sentences: for the log, and in a file for who started it (the page)."""

from __future__ import annotations

import json
import logging
from typing import Any

from ...log import logger
from ...paths import user_path, write_text_atomic
from ..schema import opt


def report_option() -> Any:
    """The option `report` of a tool that has something to tell."""
    return opt(
        None,
        "Write what came of the run into this .json file.",
        "실행 결과를 이 .json 파일에 저장합니다.",
        path="written",
    )


class Report:
    """Sentences with a level each (info, warning); `write` is called when the tool is done."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    def say(self, level: str, message: str) -> None:
        """Log a sentence, and keep it."""
        logger.log(logging.WARNING if level == "warning" else logging.INFO, "%s", message)
        self.messages.append({"level": level, "message": message})

    def write(self, file: str | None, **more: Any) -> None:
        """Write `{"messages": [...], ...more}` into `file`, where one was asked for. Raises SaveError."""
        if file:
            told = {**more, "messages": self.messages}
            write_text_atomic(user_path(file), json.dumps(told, ensure_ascii=False, indent=1) + "\n")
