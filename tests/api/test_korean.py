"""Whatever a page shows of what the program says comes in the page's language; no text bypasses the catalogue."""

import errno
import io
import os
import re
from pathlib import Path

import pytest
from PIL import Image

from lora_trainer.api import korean, speech
from lora_trainer.api.korean import Catalogue, with_particles
from lora_trainer.data.plan.files import read_facts
from tests import messages

from .conftest import get, picture, post

CATALOGUE = Catalogue.load()
HANGUL = re.compile("[가-힣]")
KO = {"accept-language": "ko-KR,ko;q=0.9"}
EN = {"accept-language": "en"}


def test_every_sentence_of_the_source_has_its_korean():
    missing = messages.missing(CATALOGUE)
    said = "\n".join(f"{name}:{line}: {text}" for name, found in missing.items() for line, text in found)
    assert not missing, f"python -m tests.messages lists these; write their Korean into assets/korean:\n{said}"


def test_each_sentence_of_the_catalogue_has_one_korean():
    found: dict[str, str] = {}
    for path in sorted(korean.FOLDER.glob("*.txt")):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
        assert len(lines) == 2 * len(korean.pairs(path)), f"{path.name} has a line that belongs to no sentence"
        for en, ko in korean.pairs(path):
            assert HANGUL.search(ko) or not HANGUL.search(en), f"{path.name}: sentence and Korean have changed places at {en!r}"
            assert found.setdefault(en, ko) == ko, f"{path.name} has other Korean for {en!r} than a line before it"


def test_a_new_sentence_would_be_found(tmp_path):
    source = tmp_path / "new.py"
    source.write_text(
        'def f(path, n):\n    """A doc string is none."""\n    raise InputError(f"{path} has {n} legs.", field="xy")\n'
    )
    assert [text for _, text in messages.templates(source)] == ["{} has {} legs."]


def test_a_short_sentence_of_an_error_is_found_too(tmp_path):
    source = tmp_path / "new.py"
    source.write_text('def f(run):\n    raise InputError(f"{run} is {run.state}.", advice="Stop it.")\n')
    assert [text for _, text in messages.templates(source)] == ["Stop it.", "{} is {}."]


@pytest.mark.parametrize(
    "code", sorted(set(errno.errorcode) & {1, 2, 5, 12, 13, 16, 17, 20, 21, 23, 24, 26, 28, 30, 36, 39, 110, 111, 116, 122})
)
def test_what_the_system_says_comes_in_korean_too(code):
    error = OSError(code, os.strerror(code), "/x/frog.png")
    for words in (str(error), error.strerror, str(OSError(code, os.strerror(code)))):
        said = speech.said(f"the file is damaged or cut short: {words}.", "ko")
        assert HANGUL.search(said.partition(":")[2]), said
        assert not re.search("[A-Za-z]{3}", said.replace("/x/frog.png", "")), said


def test_what_pillow_says_of_a_broken_picture_comes_in_korean_too(tmp_path):
    said = []
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF"):
        noise, data = Image.effect_noise((64, 64), 90), io.BytesIO()
        noise.save(data, kind)
        for share in (0.1, 0.5, 0.9):
            whole = data.getvalue()
            path = tmp_path / f"{kind}{share}.png"
            path.write_bytes(whole[: int(len(whole) * share)])
            said.append(read_facts(str(path), path.stat().st_size, verify=True).problem)
    told = {one: speech.said(one, "ko") for one in said if one}
    assert len(told) >= 3
    assert all(HANGUL.search(ko) and not re.search("[A-Za-z]{4}", ko) for ko in told.values()), told


def test_a_refusal_to_delete_a_run_at_work_is_one_sentence_in_one_language():
    for message in ("The training zzq has not ended yet.", "Nothing is chosen here."):
        assert not re.search("[A-Za-z]{2}", speech.said(message, "ko").replace("zzq", ""))


def test_the_korean_has_the_values_of_the_sentence():
    for en, ko in CATALOGUE.entries.items():
        parts = en.split("{}")
        used = {int(number) for number in re.findall(r"\{(\d)\}", ko)}
        plural = {at for at, before in enumerate(parts[:-1]) if re.search(r"[a-z]$", before) and not before.endswith("0x")}
        assert used <= set(range(len(parts) - 1)), en
        assert set(range(len(parts) - 1)) - used <= plural, en
        assert "{}" not in ko, en
        names = en == ko or ko in ("UNet", "VAE", "ControlNet")
        assert HANGUL.search(ko) or names or not re.search("[a-z]{3}", en.replace("{}", "")), en


def test_each_sentence_is_recognised_with_its_values():
    for en, ko in CATALOGUE.entries.items():
        parts = en.split("{}")
        values, filled = [], parts[0]
        for number, part in enumerate(parts[1:], 1):
            beside = number > 1 and not parts[number - 1]
            last = number == len(parts) - 1 and not part and parts[number - 1].endswith(".")
            values.append(" (in x y.z)" if beside else " And more." if last else f"/folder/x{number}.png")
            filled += values[-1] + part
        assert CATALOGUE.turn(filled) == korean._filled(ko, values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("개구리[은/는]", "개구리는"),
        ("사슴[은/는]", "사슴은"),
        ("512[이/가]", "512가"),
        ("63[이/가]", "63이"),
        ("8[으로/로]", "8로"),
        ("10[으로/로]", "10으로"),
        ("서울[으로/로]", "서울로"),
        ("'사슴'[을/를]", "'사슴'을"),
        ("x.png[은/는]", "x.png은(는)"),
        ("x.png[으로/로]", "x.png(으)로"),
        ("x.png[이라는/라는]", "x.png(이)라는"),
        ("0[이어서/여서]", "0이어서"),
    ],
)
def test_particles_follow_the_sound_before_them(text, expected):
    assert with_particles(text) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("run.toml, line 3, key: there is no such option.", "run.toml, 3번째 줄, key: 그런 옵션은 없습니다."),
        ("/x/고양이.safetensors is empty: it has 0 bytes.", "/x/고양이.safetensors: 비어 있습니다(0바이트)."),
        ("'is missing.' is not a folder.", "'is missing.'은(는) 폴더가 아닙니다."),
        ("/x/y z: 8 of 12 images have no caption (a.png)", "/x/y z: 이미지 12장 중 8장에 캡션이 없습니다(a.png)"),
        (
            "dataset.toml, line 2, x: 8 of 12 images have no caption (a: b.png)",
            "dataset.toml, 2번째 줄, x: 이미지 12장 중 8장에 캡션이 없습니다(a: b.png)",
        ),
        ("'a: b' is not a folder.", "'a: b'은(는) 폴더가 아닙니다."),
        ("There is no run sls or dog.", "sls or dog 학습이 없습니다."),
        (
            "/x y/ball: 6 regularisation images fill 140 places: each is used about 23 times in an epoch.",
            "/x y/ball: 정규화 이미지 6장이 자리 140개를 채웁니다. 한 에포크에 각각 약 23번 쓰입니다.",
        ),
        ("the file /tmp/my pics/a.png does not exist.", "파일 /tmp/my pics/a.png이(가) 없습니다."),
        ("something nobody has said before: 5", "something nobody has said before: 5"),
        ("", ""),
    ],
)
def test_messages_are_turned_part_by_part(message, expected):
    if message.startswith("There is no run"):
        assert HANGUL.search(speech.said(message, "ko"))
    else:
        assert speech.said(message, "ko") == expected


@pytest.mark.parametrize("message", ["is " * 600, "there is no " * 120, "a: " * 600, "x. " * 600, "\n" * 1900, "x; " * 9000])
def test_nothing_that_a_file_is_called_keeps_the_host_busy(message):
    assert speech.said(f"{message} is not a folder.", "ko")


def problems_of(client, headers, **values):
    answer = client.post("/lora-trainer/api/check", json={"values": values}, headers=headers).json()
    return answer["problems"]


def test_a_check_speaks_the_language_of_the_page(client, tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "b.png").write_bytes(b"")
    values = {
        "image_dir": str(tmp_path),
        "resolution": "63",
        "max_bucket_reso": 64,
        "min_bucket_reso": 128,
        "enable_bucket": True,
    }
    plain, english, spoken = (problems_of(client, headers, **values) for headers in ({}, EN, KO))
    assert len(plain) == len(english) == len(spoken) >= 4
    for problem in spoken:
        assert HANGUL.search(problem["message"]), problem
        assert HANGUL.search(problem["advice"]) or not problem["advice"], problem
    assert all(not HANGUL.search(problem["message"]) for problem in (*plain, *english))
    assert any(problem["where"] == "--resolution" for problem in plain)
    assert not any("--" in problem["where"] + problem["message"] for problem in (*english, *spoken))
    assert not any(re.search(r"[a-z]_[a-z]", problem["message"] + problem["advice"]) for problem in (*english, *spoken))


def test_refusals_speak_the_language_of_the_page(client):
    for path in ("runs/nothing", "uploads/nothing", "images?folder=x", "loras/preview?name=x", "generate/nothing"):
        answer = client.get(f"/lora-trainer/api/{path}", headers=KO).json()
        assert HANGUL.search(answer["error"]["message"]), answer
    assert not HANGUL.search(get(client, "runs/nothing").json()["error"]["message"])
    answer = client.post("/lora-trainer/api/generate", json={"request": 5}, headers=KO).json()
    assert HANGUL.search(answer["error"]["message"]), answer
    assert HANGUL.search(client.post("/lora-trainer/api/runs", json=[], headers=KO).json()["error"]["message"])


def test_what_users_wrote_stays_as_they_wrote_it():
    token = speech._language.set("ko")
    try:
        content = {
            "values": {"message": "is empty"},
            "log": "is empty",
            "prompt": "is empty",
            "name": "is empty",
            "message": "is empty",
        }
        assert speech.spoken(content) == content | {"message": "비어 있습니다"}
        run = {"phase": {"name": "loading the model", "done": 1}, "warnings": ["there is no metadata."]}
        events = [
            {"type": "phase", "name": "encoding the images"},
            {"type": "failed", "message": "The card is full.", "advice": ""},
        ]
        spoken = speech.spoken({"run": run, "events": events})
        assert spoken["run"] == {"phase": {"name": "모델 불러오는 중", "done": 1}, "warnings": ["메타데이터가 없습니다."]}
        assert [event.get("name") or event["message"] for event in spoken["events"]] == [
            "이미지 인코딩 중",
            "그래픽 카드 메모리가 가득 찼습니다.",
        ]
    finally:
        speech._language.reset(token)


def test_posts_and_gets_without_a_language_are_left_alone(client):
    assert post(client, "uploads/nothing/delete").json()["error"]["message"].startswith("There is no upload")


ROOT = Path(__file__).parents[2]
# One word for each thing: the other is not used anywhere.
NOT_USED = {
    "낱말": "단어",
    "그림체": "화풍",
    "데이터셋": "데이터 세트",
    "훈련": "학습",
    "베이스 모델": "기본 모델",
    "디렉토리": "폴더",
    "에폭": "에포크",
}


def test_one_korean_word_stands_for_each_thing():
    texts = [
        *ROOT.glob("lora_trainer/**/*.py"),
        *ROOT.glob("lora_trainer/assets/korean/*"),
        *ROOT.glob("lora_trainer/ui/web/**/*.js"),
        *ROOT.glob("docs/*.md"),
    ]
    found = [
        (path.name, word, instead) for path in texts for word, instead in NOT_USED.items() if word in path.read_text("utf-8")
    ]
    assert len(texts) > 200 and not found


@pytest.mark.parametrize(
    "before", ["The worker ended unexpectedly. Its last lines:", "The tool ended unexpectedly. Its last lines:"]
)
def test_what_a_program_printed_stays_as_it_is_below_the_sentence(before):
    printed = "16:02:44 INFO    loading the model\n16:03:01 INFO    encoding the images\n16:03:08 INFO    drawing samples 1/2"
    sentence, _, rest = with_particles(CATALOGUE.turn(f"{before}\n{printed}")).partition("\n")
    assert HANGUL.search(sentence) and not re.search("[a-z]", sentence)
    assert rest == printed


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_names_of_options_in_lines_of_a_log_stay_names(language):
    printed = "16:02:44 INFO attention by PyTorch; channels_last off."
    said = speech.said(f"The worker ended unexpectedly. Its last lines:\n{printed}\nLower network_dim.", language)
    assert said.split("\n")[1] == printed and "network_dim" not in said
