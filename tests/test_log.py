"""The one logger goes where it is told."""

from __future__ import annotations

from lora_trainer import log


def test_messages_go_to_the_file_and_the_level_is_obeyed(tmp_path):
    file = tmp_path / "run.log"
    log.setup("WARNING", str(file), simple=True)
    log.logger.info("not this")
    log.logger.warning("this")
    assert file.read_text(encoding="utf-8") == "this\n"
    log.setup()


def test_a_line_has_time_and_level_unless_it_is_to_be_simple(capsys):
    log.setup()
    log.logger.info("hello")
    line = capsys.readouterr().err
    assert line.endswith("INFO    hello\n") and line[2] == ":"
