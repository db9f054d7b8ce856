"""Uploading what was saved to Hugging Face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class HubOptions:
    """Uploading what was saved."""

    TITLE: ClassVar[Title] = Title("Hugging Face upload", "Hugging Face 업로드")

    huggingface_repo_id: str | None = opt(
        None,
        'The repository that every saved file is uploaded to, "name/repository". It is made when it is missing.',
        '저장한 파일을 모두 올릴 저장소입니다 ("이름/저장소"). 없으면 만듭니다.',
        label="Repository",
        label_ko="저장소",
    )
    huggingface_repo_type: str | None = opt(
        None,
        "Type of the repository; model where nothing is chosen.",
        "저장소의 종류입니다. 고르지 않으면 model입니다.",
        choices=("model", "dataset", "space"),
        label="Type of the repository",
        label_ko="저장소 종류",
    )
    huggingface_path_in_repo: str | None = opt(
        None,
        "Folder in the repository.",
        "저장소 안의 폴더입니다.",
        label="Folder in the repository",
        label_ko="저장소 안의 폴더",
    )
    huggingface_token: str | None = opt(
        None,
        (
            "Your access token, which may write. It is written nowhere; without it the one that `hf auth login` has "
            "kept, or HF_TOKEN, counts."
        ),
        "쓰기 권한이 있는 접근 토큰입니다. 어디에도 적지 않습니다. 비우면 `hf auth login`이 보관한 토큰이나 HF_TOKEN을 씁니다.",
        secret="HF_TOKEN",
        label="Access token",
        label_ko="접근 토큰",
    )
    huggingface_repo_visibility: str | None = opt(
        None,
        "public lets everybody see a repository that is made; anything else keeps it private.",
        "public이면 새로 만든 저장소를 누구나 볼 수 있고, 그 밖에는 비공개입니다.",
        label="Who may see it",
        label_ko="공개 범위",
    )
    save_state_to_huggingface: bool = opt(
        False,
        "Upload the training states that save_state asks for, too.",
        "save_state로 저장하는 학습 상태도 올립니다.",
        label="Upload states",
        label_ko="상태도 올리기",
    )
    resume_from_huggingface: bool = opt(
        False,
        "The state named by resume is on Hugging Face: owner/repository/folder:revision:model.",
        "resume에 적은 상태가 Hugging Face에 있습니다 (소유자/저장소/폴더:리비전:model).",
        form=False,
    )
    async_upload: bool = opt(
        False,
        "Go on training while uploading; only the end waits for it.",
        "올리는 동안 학습을 계속하고, 끝날 때만 기다립니다.",
        label="Train on while uploading",
        label_ko="올리는 동안 학습 계속",
    )
