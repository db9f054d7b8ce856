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
        ("Folder for logs that TensorBoard can show. Each training gets a folder of its own in it, called by date and time."),
        "TensorBoard로 볼 수 있는 로그를 저장할 폴더입니다. 학습마다 그 안에 날짜와 시각으로 된 폴더가 생깁니다.",
        path="output",
        label="Folder of the logs",
        label_ko="로그 폴더",
    )
    log_with: str | None = opt(
        None,
        (
            "Which program the logs are for; with a logging_dir TensorBoard where nothing is chosen. wandb (Weights &"
            " Biases) sends them to its own service, or keeps them beside the logs with the variable "
            "WANDB_MODE=offline."
        ),
        (
            "어떤 프로그램을 위한 로그인지 정합니다. logging_dir이 있고 아무것도 고르지 않으면 "
            "TensorBoard입니다. wandb(Weights & Biases)는 그 서비스로 로그를 보내며, "
            "환경 변수 WANDB_MODE=offline이 있으면 로그 옆에 남깁니다."
        ),
        choices=("tensorboard", "wandb", "all"),
        label="Logs for",
        label_ko="로그 대상",
    )
    log_prefix: str | None = opt(
        None,
        "Text before the date in the name of the log folder.",
        "로그 폴더 이름의 날짜 앞에 붙일 글입니다.",
        label="Begin of the log's name",
        label_ko="로그 이름 앞부분",
    )
    log_tracker_name: str | None = opt(
        None,
        "Name of the project in the log program; network_train where nothing is given.",
        "로그 프로그램에서 쓸 프로젝트 이름입니다. 비우면 network_train입니다.",
        label="Name of the project",
        label_ko="프로젝트 이름",
    )
    log_tracker_config: str | None = opt(
        None,
        "A .toml file with settings for the log programs, in tables [tensorboard] and [wandb].",
        "로그 프로그램의 설정을 [tensorboard]와 [wandb] 표로 적은 .toml 파일입니다.",
        path="file",
        label="Settings of the log program",
        label_ko="로그 프로그램 설정",
    )
    log_config: bool = opt(
        False,
        "Write the options of the training into the logs, too; no paths and no keys.",
        "학습 옵션도 로그에 적습니다. 경로와 키는 적지 않습니다.",
        label="Options in the log",
        label_ko="로그에 옵션 적기",
    )
    wandb_run_name: str | None = opt(
        None,
        "Name of the run in Weights & Biases.",
        "Weights & Biases에서 쓸 실행 이름입니다.",
        label="Name of the run (Weights & Biases)",
        label_ko="실행 이름 (Weights & Biases)",
    )
    wandb_api_key: str | None = opt(
        None,
        (
            "Your key for Weights & Biases. It is written nowhere; without it the one that `wandb login` has kept, or"
            " WANDB_API_KEY, counts."
        ),
        "Weights & Biases의 키입니다. 어디에도 적지 않습니다. 비우면 `wandb login`이 보관한 키나 WANDB_API_KEY를 씁니다.",
        label="Key for Weights & Biases",
        label_ko="Weights & Biases 키",
        secret="WANDB_API_KEY",
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
