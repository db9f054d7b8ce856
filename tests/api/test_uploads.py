import unicodedata
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image

from lora_trainer.api import receiving
from lora_trainer.api.images import Thumbnails
from lora_trainer.api.upload_names import clean_name

from .conftest import API, get, picture, post

HEADERS = {"x-lora-trainer": "1"}


def send(client, *files, folder=None, headers=HEADERS):
    parts = [("files", (name, data, "application/octet-stream")) for name, data in files]
    query = {"folder": folder} if folder else {}
    return client.post(API + "uploads", files=parts, params=query, headers=headers)


def test_pictures_and_captions_keep_their_names_and_stay_pairs(client):
    names = ["a (1) née+x,y.png", "a (1) née+x,y.txt", "개구리.jpg", "개구리.caption", "lonely.webp"]
    kinds = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}
    files = [(name, picture(kind=kinds[Path(name).suffix]) if Path(name).suffix in kinds else b"words") for name in names]
    answer = send(client, *files).json()
    assert sorted(answer["saved"]) == sorted(names)
    assert answer["refused"] == []
    assert (answer["images"], answer["captions"], answer["without_caption"]) == (3, 2, ["lonely.webp"])
    folder = Path(answer["folder"])
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert (folder / names[0]).read_bytes() == files[0][1]


def test_more_files_join_the_same_folder(client):
    first = send(client, ("1.png", picture())).json()
    second = send(client, ("1.txt", b"words"), folder=first["id"]).json()
    assert (second["folder"], second["images"], second["captions"]) == (first["folder"], 1, 1)
    shown = get(client, f"uploads/{first['id']}").json()
    assert [(one["name"], one["caption"], one["width"]) for one in shown["images"]] == [("1.png", "words", 64)]
    assert get(client, shown["images"][0]["thumb"]).headers["content-type"] == "image/jpeg"


def test_what_is_no_image_or_caption_is_refused_and_the_rest_is_kept(client):
    answer = send(
        client,
        ("good.png", picture()),
        ("text.png", b"just text"),
        ("zero.jpg", b""),
        ("cut.png", picture()[:70]),
        ("program.exe", b"MZ"),
        ("model.safetensors", b"x"),
        ("page.html", b"<script>"),
    ).json()
    assert answer["saved"] == ["good.png"]
    refused = {one["name"] for one in answer["refused"]}
    assert refused == {"text.png", "zero.jpg", "cut.png", "program.exe", "model.safetensors", "page.html"}
    assert [path.name for path in Path(answer["folder"]).iterdir()] == ["good.png"]


def test_files_that_are_too_large_are_broken_off_and_leave_nothing(client, monkeypatch):
    monkeypatch.setattr(receiving, "MAX_CAPTION", 1000)
    answer = send(client, ("big.txt", b"x" * 100_000), ("small.txt", b"x"), ("1.png", picture())).json()
    assert answer["saved"] == ["small.txt", "1.png"]
    assert [one["name"] for one in answer["refused"]] == ["big.txt"]
    assert sorted(path.name for path in Path(answer["folder"]).iterdir()) == ["1.png", "small.txt"]


def test_too_many_files_are_refused(client, monkeypatch):
    monkeypatch.setattr(receiving, "MAX_FILES", 2)
    assert send(client, *((f"{n}.txt", b"x") for n in range(3))).status_code == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"--x\r\nContent-Disposition: form-data; name=a; filename=1.png\r\n\r\nabc", b"--x\r\n\r\n\r\n--y"],
)
def test_a_body_that_is_broken_off_leaves_no_half_file(client, service, body):
    headers = {**HEADERS, "content-type": "multipart/form-data; boundary=x"}
    answer = client.post(API + "uploads", content=body, headers=headers)
    assert answer.status_code in {200, 400}
    assert not list(service.uploads.root.rglob("*.part"))
    assert not list(service.uploads.root.rglob("*.png"))
    no_boundary = {**HEADERS, "content-type": "multipart/form-data"}
    assert client.post(API + "uploads", content=body, headers=no_boundary).status_code == 400


def test_a_path_that_is_an_upload_is_told_as_one(client, images):
    told = send(client, ("1.png", picture())).json()
    path = urlencode({"folder": told["folder"]})
    assert get(client, f"images?{path}").json()["id"] == told["id"], "an earlier run's settings name its folder"
    other = urlencode({"folder": str(images)})
    assert get(client, f"images?{other}").json()["id"] is None


@pytest.mark.parametrize("folder", ["..", "../runs", "nothing", "20200101-000000-zzzzzz", "/etc"])
def test_an_upload_stays_below_its_folder(client, folder, tmp_path):
    assert send(client, ("1.png", picture()), folder=folder).status_code == 404
    assert not list(tmp_path.rglob("1.png"))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("1.png", "1.png"),
        ("../../1.png", "1.png"),
        ("C:\\pictures\\1.png", "pictures_1.png"),
        ("frogs/1.png", "1.png"),
        ("frogs/green/1.png", "green_1.png"),
        ("frogs/../../x.png", "x.png"),
        ('a<b>:"|?*.png', "a_b______.png"),
        ("CON.png", "_CON.png"),
        (".hidden.png", "hidden.png"),
        (unicodedata.normalize("NFD", "née.png"), unicodedata.normalize("NFC", "née.png")),
    ],
)
def test_names_are_kept_as_far_as_file_systems_allow(sent, kept):
    assert clean_name(sent) == kept


def test_a_name_that_is_too_long_is_cut_alike_for_image_and_caption():
    image, caption = clean_name("가" * 100 + ".png"), clean_name("가" * 100 + ".txt")
    assert len(image.encode()) <= 180
    assert Path(image).stem == Path(caption).stem


def test_captions_are_written_and_images_deleted_with_their_captions(client):
    upload = send(client, ("1.png", picture()), ("2.png", picture()), ("1.txt", b"old")).json()
    where = f"uploads/{upload['id']}"
    assert post(client, f"{where}/caption", {"name": "2.png", "caption": " a  frog\n"}).status_code == 200
    assert (Path(upload["folder"]) / "2.txt").read_text() == "a frog\n"
    assert post(client, f"{where}/caption", {"name": "3.png", "caption": "x"}).status_code == 404
    assert post(client, f"{where}/caption", {"name": "1.png", "caption": "x", "extension": ".sh"}).status_code == 400
    assert post(client, f"{where}/delete", {"name": "1.png"}).status_code == 200
    assert sorted(path.name for path in Path(upload["folder"]).iterdir()) == ["2.png", "2.txt"]
    for name in ("../x", "nothing.png"):
        assert post(client, f"{where}/delete", {"name": name}).status_code in {400, 404}
    assert post(client, f"{where}/delete").status_code == 200
    assert not Path(upload["folder"]).exists()


def test_leavings_of_a_killed_program_are_removed(service):
    kept, empty = service.uploads.new(), service.uploads.new()
    (service.uploads.root / kept / "1.png").write_bytes(picture())
    (service.uploads.root / kept / "2.png.part").write_bytes(b"half")
    (service.uploads.root / empty / "3.png.part").write_bytes(b"half")
    service.uploads.remove_leavings()
    assert [path.name for path in service.uploads.root.rglob("*.*")] == ["1.png"]
    assert not (service.uploads.root / empty).exists()


def test_thumbnails_are_small_upright_and_made_once(tmp_path):
    path = tmp_path / "tall.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1000, 500), "red").save(path, exif=exif)
    thumbnails = Thumbnails(tmp_path / "cache")
    small = thumbnails.of(path)
    assert Image.open(small).size == (128, 256)
    before = small.stat().st_mtime_ns
    assert thumbnails.of(path) == small and small.stat().st_mtime_ns == before
    Image.new("RGB", (10, 10), "blue").save(path)
    assert thumbnails.of(path) != small


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "CMYK", "I;16"])
def test_thumbnails_of_every_kind_of_picture(tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.new(mode, (300, 30)).save(path)
    assert Image.open(Thumbnails(tmp_path / "cache").of(path)).mode == "RGB"


def kept(answer) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(answer["folder"]).iterdir() if path.name[0] != "."}


RED, BLUE = picture(color="red"), picture(color="blue")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a:b.png", "a?b.png"),
        ("drop/green/1.png", "drop/green_1.png"),
        ("one/1.png", "two/1.png"),
        ("1.png", "1.png"),
        ("1.PNG", "1.png"),
        ("A.png", "a.png"),
        (unicodedata.normalize("NFD", "née.png"), unicodedata.normalize("NFC", "née.png")),
        ("1.png ", "1.png"),
        ("가" * 100 + "a.png", "가" * 100 + "b.png"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_two_pictures_of_one_name_are_both_kept_each_with_its_caption(client, first, second, together):
    def caption(name):
        return name.strip()[: -len(".png")] + ".txt"

    one = [(first, RED), (caption(first), b"red")]
    other = [(second, BLUE), (caption(second), b"blue")]
    if together:
        answer = send(client, *one, *other).json()
    else:
        answer = send(client, *other, folder=send(client, *one).json()["id"]).json()
    files = kept(answer)
    assert answer["refused"] == [] and answer["without_caption"] == answer["unused"] == []
    pairs = {data: files[f"{Path(name).stem}.txt"] for name, data in files.items() if name.endswith(".png")}
    assert pairs == {RED: b"red", BLUE: b"blue"}
    assert {one["name"] for one in answer["noted"]} == {second, caption(second)}
    assert all(name in answer["noted"][0]["message"] for name in files if "-2.png" in name)


def test_a_second_caption_for_one_picture_is_refused_by_name(client):
    answer = send(client, ("a.png", RED), ("a.txt", b"one"), ("a.png.txt", b"two"), ("a.txt", b"three")).json()
    assert kept(answer) == {"a.png": RED, "a.txt": b"one"}
    assert [one["name"] for one in answer["refused"]] == ["a.png.txt", "a.txt"]


def test_what_is_dropped_again_is_the_same_file_and_a_changed_caption_takes_the_place(client):
    drop = [("x/a.png", RED), ("x/a.txt", b"one"), ("y/a.png", BLUE), ("y/a.txt", b"two")]
    before = send(client, *drop).json()
    again = send(client, *drop, folder=before["id"]).json()
    assert kept(again) == kept(before) and len(kept(again)) == 4
    assert again["noted"] == again["refused"] == []
    changed = send(client, ("y/a.png", BLUE), ("y/a.txt", b"three"), folder=before["id"]).json()
    assert kept(changed) == {"a.png": RED, "a.txt": b"one", "a-2.png": BLUE, "a-2.txt": b"three"}
    assert [one["name"] for one in changed["noted"]] == ["y/a.txt"]
    alone = send(client, ("a.txt", b"four"), folder=before["id"]).json()
    assert kept(alone)["a.txt"] == b"four" and [one["name"] for one in alone["noted"]] == ["a.txt"]


@pytest.mark.parametrize(
    ("image", "caption"),
    [
        ("a.Png", "a.TXT"),
        ("a.JPG", "a.Caption"),
        ("a.png", "a.png.txt"),
        ("a.png", "a.txt.txt"),
        ("IMG_1.PNG", "img_1.txt"),
        ("a.png.png", "a.png.txt"),
        (unicodedata.normalize("NFD", "née.png"), unicodedata.normalize("NFC", "née.txt")),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_caption_under_a_look_alike_name_is_used(client, image, caption, together):
    data = picture(kind="JPEG" if image.lower().endswith("jpg") else "PNG")
    if together:
        answer = send(client, (caption, b"words"), (image, data)).json()
    else:
        answer = send(client, (caption, b"words"), folder=send(client, (image, data)).json()["id"]).json()
    assert (answer["images"], answer["without_caption"], answer["unused"], answer["refused"]) == (1, [], [], [])
    (shown,) = get(client, f"uploads/{answer['id']}").json()["images"]
    assert shown["caption"] == "words"


def test_captions_without_a_picture_are_named(client):
    answer = send(client, ("a.png", RED), ("b.txt", b"words")).json()
    assert answer["unused"] == ["b.txt"] == get(client, f"uploads/{answer['id']}").json()["unused"]
    assert send(client, ("b.png", BLUE), folder=answer["id"]).json()["unused"] == []


@pytest.mark.parametrize("name", ["a.gif", "a.TIFF", "a.heic", "a.jfif", "a.pdf", "a", "a.png.pdf", ".txt", "..", " "])
def test_what_is_not_kept_is_refused_by_the_name_it_was_sent_under(client, name):
    answer = send(client, (name, b"GIF89a")).json()
    assert answer["saved"] == [] and [one["name"] for one in answer["refused"]] == [name]
    assert kept(answer) == {}


def test_avif_is_kept_where_it_can_be_trained_and_refused_by_name_elsewhere(client, monkeypatch):
    from lora_trainer.api import upload_names

    can = Image.registered_extensions().get(".avif") is not None
    data = picture(kind="AVIF") if can else b"\0\0\0 ftypavif"
    answer = send(client, ("a.AVIF", data)).json()
    assert (answer["images"], len(answer["refused"])) == ((1, 0) if can else (0, 1))
    monkeypatch.setattr(upload_names, "readable_extensions", lambda: ("png",))
    (refused,) = send(client, ("b.avif", data)).json()["refused"]
    assert refused["name"] == "b.avif" and "PNG or JPEG" in refused["message"]


def test_a_broken_picture_does_not_take_the_place_of_a_good_one(client):
    first = send(client, ("a.png", RED)).json()
    answer = send(client, ("a.png", RED[:60]), folder=first["id"]).json()
    assert kept(answer) == {"a.png": RED} and [one["name"] for one in answer["refused"]] == ["a.png"]


def test_a_mask_keeps_with_its_picture_and_is_no_picture_itself(client):
    first = send(client, ("a.png", picture()), ("a-masklabel.png", picture(color="white"))).json()
    folder = Path(first["folder"])
    assert (first["images"], first["refused"]) == (1, [])
    again = send(
        client, ("a.png", picture(size=(96, 64))), ("a-MaskLabel.png", picture(size=(96, 64))), folder=first["id"]
    ).json()
    assert sorted(path.name for path in folder.iterdir()) == ["a-2-masklabel.png", "a-2.png", "a-masklabel.png", "a.png"]
    assert again["images"] == 2
    replaced = send(client, ("a-masklabel.png", picture(size=(32, 32))), folder=first["id"]).json()
    assert [one["message"] for one in replaced["noted"]] == ["It took the place of a-masklabel.png, which was there."]
    assert [one["name"] for one in get(client, f"uploads/{first['id']}").json()["images"]] == ["a-2.png", "a.png"]
    post(client, f"uploads/{first['id']}/delete", {"name": "a-2.png"})
    assert sorted(path.name for path in folder.iterdir()) == ["a-masklabel.png", "a.png"]


def test_the_state_tells_what_each_upload_is_known_by_when_that_changes(client):
    first = get(client, "state").json()
    assert first["uploads"] == {}
    sent = send(client, ("toad.png", picture()), ("frog.png", picture(color="blue")), ("frog.txt", b"a frog")).json()
    now = get(client, "state", params={"since": first["token"]}).json()
    assert now["uploads"] == {sent["id"]: {"first": "frog.png", "images": 2}}
    assert "uploads" not in get(client, "state", params={"since": now["token"]}).json()
    post(client, f"uploads/{sent['id']}/delete", {"name": "frog.png"})
    after = get(client, "state", params={"since": now["token"]}).json()
    assert after["uploads"] == {sent["id"]: {"first": "toad.png", "images": 1}}
