"""What the Tools page calls the options of the tools, and how it explains them to people who make pictures.

An option without an entry in HELP keeps the help of its declaration.
"""

from __future__ import annotations

from .schema import Title

LABELS = {
    "models": Title("LoRAs and how strongly each goes in", "LoRA와 각각의 비율"),
    "model": Title("LoRA", "LoRA"),
    "sd_model": Title("Checkpoint", "체크포인트"),
    "model_org": Title("Original checkpoint", "원래 체크포인트"),
    "model_tuned": Title("Changed checkpoint", "달라진 체크포인트"),
    "new_rank": Title("New rank", "새 랭크"),
    "new_conv_rank": Title("New rank of convolutions", "합성곱의 새 랭크"),
    "kept_energy": Title("Share to keep", "지킬 비율"),
    "dynamic_method": Title("A rank for each layer", "층마다 다른 랭크"),
    "dynamic_param": Title("Number for that", "그 방법의 수"),
    "dim": Title("Rank", "랭크"),
    "conv_dim": Title("Rank of convolutions", "합성곱의 랭크"),
    "unit": Title("Unit", "단위"),
    "to": Title("Names", "이름 형식"),
    "concat": Title("Ranks side by side", "랭크를 나란히 붙이기"),
    "save_precision": Title("Number format", "숫자 형식"),
}

_MANY = Title(
    "1 takes a LoRA as it is, 0.5 half as strongly; a number below 0 takes it away.",
    "1은 그대로, 0.5는 절반의 세기이며, 음수는 그 LoRA를 뺍니다.",
)
# By option, or by (tool, option) where one tool needs its own words.
HELP: dict[str | tuple[str, str], Title] = {
    "models": _MANY,
    ("merge_into_checkpoint", "models"): Title(
        "As strongly as the number in <lora:name:0.8> does it.", "<lora:이름:0.8>에 쓰는 수와 같은 세기입니다."
    ),
    ("merge_into_checkpoint", "sd_model"): Title(
        "It stays as it is; the result is a new file.", "이 파일은 그대로 두고 새 파일을 만듭니다."
    ),
    ("svd_merge_lora", "new_rank"): Title(
        "How much the merged LoRA can hold. The largest rank of the sources is usually enough; their sum loses nothing.",
        "병합한 LoRA가 담을 수 있는 양입니다. 원본 중 가장 큰 랭크면 대개 충분하고, 모두 더하면 잃는 것이 없습니다.",
    ),
    ("resize_lora", "new_rank"): Title(
        "A smaller rank is a smaller file. Half the old rank usually looks the same.",
        "랭크가 작을수록 파일도 작아집니다. 원래 랭크의 절반이면 대개 같은 그림이 나옵니다.",
    ),
    "new_conv_rank": Title(
        "Only for LoRAs with 3×3 convolutions (C3Lier, LoCon). Empty: the rank above.",
        "3×3 합성곱이 있는 LoRA(C3Lier, LoCon)에만 씁니다. 비우면 위의 랭크를 씁니다.",
    ),
    "kept_energy": Title(
        "Empty: every layer gets the new rank. 0.99: each layer gets the smallest rank that keeps 99 % of its effect.",
        "비우면 모든 층이 새 랭크를 씁니다. 0.99면 층마다 효과의 99%를 지키는 가장 작은 랭크를 씁니다.",
    ),
    "dynamic_method": Title(
        "Each layer gets the rank that it needs, up to the new rank.", "층마다 필요한 만큼의 랭크를 씁니다 (새 랭크까지)."
    ),
    "dynamic_param": Title(
        "The share to keep, for example 0.95; for sv_ratio how many times weaker than the strongest part, for example 20.",
        "지킬 비율입니다 (예: 0.95). sv_ratio에서는 가장 강한 부분보다 몇 배 약한 것까지 남길지 정합니다 (예: 20).",
    ),
    "concat": Title(
        "Off: adds the factors themselves, as kohya's merge_lora does. Right only for files that share a factor.",
        "끄면 kohya의 merge_lora처럼 인수 자체를 더합니다. 인수를 공유하는 파일에만 맞는 방법입니다.",
    ),
    "model_org": Title("The checkpoint that the other one was made from.", "다른 체크포인트의 바탕이 된 체크포인트입니다."),
    "model_tuned": Title("The one whose difference becomes the LoRA.", "차이를 LoRA로 만들 체크포인트입니다."),
    "dim": Title(
        "How much of the difference the LoRA can hold. 32 to 128 for a whole fine-tuned model.",
        "LoRA가 담을 수 있는 차이의 양입니다. 통째로 미세 조정한 모델이면 32에서 128이 알맞습니다.",
    ),
    "conv_dim": Title(
        "Fill it in to take along the 3×3 convolutions, too: closer to the model, a larger file.",
        "채우면 3×3 합성곱도 담습니다. 모델에 더 가깝지만 파일이 커집니다.",
    ),
    "unit": Title(
        "As in the training. With 4 you get files of rank 4, 8, 12, …",
        "학습할 때 쓴 값입니다. 4면 랭크 4, 8, 12…의 파일이 나옵니다.",
    ),
    "to": Title(
        "kohya is read by the Web UI and most programs; PEFT and diffusers are for Python.",
        "kohya는 웹 UI와 대부분의 프로그램이 읽고, PEFT와 diffusers는 파이썬에서 씁니다.",
    ),
    "save_precision": Title(
        "fp16 is half the size, and what most LoRAs have. Left as it is: that of the file, or float.",
        "fp16은 크기가 절반이며 대부분의 LoRA가 쓰는 형식입니다. 정하지 않으면 원래 파일의 형식이나 float입니다.",
    ),
    ("resize_lora", "model"): Title(
        "It stays as it is; the result is a new file.", "이 파일은 그대로 두고 새 파일을 만듭니다."
    ),
    ("extract_lora_from_dylora", "model"): Title(
        "A file that was trained as DyLoRA. It stays as it is.", "DyLoRA로 학습한 파일입니다. 이 파일은 그대로 둡니다."
    ),
    ("convert_lora", "model"): Title(
        "A file in the LoRA folder, whatever program it is from. It stays as it is.",
        "LoRA 폴더에 있는 파일이면 어떤 프로그램의 것이든 됩니다. 이 파일은 그대로 둡니다.",
    ),
    ("check_lora", "model"): Title(
        "Any file in the LoRA folder, also one that does not work.", "LoRA 폴더의 파일입니다. 작동하지 않는 파일도 됩니다."
    ),
    ("check_lora", "sd_model"): Title(
        "See also whether every part fits a layer of this checkpoint.",
        "모든 부분이 이 체크포인트의 층에 맞는지도 봅니다.",
    ),
}

CHOICES = {
    "float": Title("float (exact, twice the size)", "float (정확, 크기 두 배)"),
    "bf16": Title("bf16 (half the size, coarser)", "bf16 (절반 크기, 덜 정밀)"),
    "fp16": Title("fp16 (half the size)", "fp16 (절반 크기)"),
    "sv_ratio": Title("leave out what is much weaker (sv_ratio)", "훨씬 약한 것은 빼기 (sv_ratio)"),
    "sv_fro": Title("keep a share of the strength (sv_fro)", "세기의 일정 비율 지키기 (sv_fro)"),
    "sv_cumulative": Title("keep a share of the sum (sv_cumulative)", "합의 일정 비율 지키기 (sv_cumulative)"),
    "kohya": Title("kohya (Web UI)", "kohya (웹 UI)"),
    "peft": Title("PEFT", "PEFT"),
}
