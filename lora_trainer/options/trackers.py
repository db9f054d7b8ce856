"""Logs, trackers and configuration files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class LoggingOptions:
    """Logs, and reading and writing options."""

    TITLE: ClassVar[Title] = Title("Logs and configuration files", "로그와 설정 파일")

    console_log_level: str | None = opt(
        None,
        "From which importance on messages are shown.",
        "어느 정도 중요한 메시지부터 보여 줄지 정합니다.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        form=False,
    )
    console_log_file: str | None = opt(
        None,
        "Write the messages into this file instead of the screen.",
        "메시지를 화면 대신 이 파일에 씁니다.",
        path="written",
        form=False,
    )
    console_log_simple: bool = opt(
        False,
        "Show messages as plain lines.",
        "메시지를 꾸밈없는 줄로 보여 줍니다.",
        form=False,
    )
    logging_dir: str | None = opt(
        None,
        "Folder for logs that TensorBoard can show.",
        "TensorBoard로 볼 수 있는 로그를 저장할 폴더입니다.",
        path="output",
        supported=False,
    )
    log_with: str | None = opt(
        None,
        "Which program the logs are for.",
        "어떤 프로그램을 위한 로그인지 정합니다.",
        choices=("tensorboard", "wandb", "all"),
        supported=False,
    )
    log_prefix: str | None = opt(
        None,
        "Text before the date in the name of the log folder.",
        "로그 폴더 이름의 날짜 앞에 붙일 글입니다.",
        supported=False,
    )
    log_tracker_name: str | None = opt(
        None,
        "Name of the project in the log program.",
        "로그 프로그램에서 쓸 프로젝트 이름입니다.",
        supported=False,
    )
    log_tracker_config: str | None = opt(
        None,
        "A .toml file with settings for the log program.",
        "로그 프로그램의 설정을 적은 .toml 파일입니다.",
        path="file",
        supported=False,
    )
    log_config: bool = opt(
        False,
        "Write all options into the logs.",
        "모든 옵션을 로그에 적습니다.",
        supported=False,
    )
    wandb_run_name: str | None = opt(
        None,
        "Name of the run in Weights & Biases.",
        "Weights & Biases에서 쓸 실행 이름입니다.",
        supported=False,
    )
    wandb_api_key: str | None = opt(
        None,
        "Your key for Weights & Biases. Keep it secret.",
        "Weights & Biases의 키입니다. 다른 사람에게 보이지 마세요.",
        form=False,
        supported=False,
    )
    config_file: str | None = opt(
        None,
        ("A .toml file that options are read from; what is typed on the command line wins. The ending .toml may be left out."),
        "옵션을 읽어 올 .toml 파일입니다. 명령줄에 적은 것이 우선합니다. 확장자 .toml은 생략할 수 있습니다.",
        path="any",
        form=False,
    )
    output_config: bool = opt(
        False,
        "Write all options into the config_file and stop, without training.",
        "학습하지 않고 모든 옵션을 config_file에 쓴 뒤 끝냅니다.",
        form=False,
    )
