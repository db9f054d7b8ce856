"""What spoils trainings is found before they start, each kind with the pictures that it is about and what mends it."""

import io
import random
from dataclasses import replace
from pathlib import Path

import pytest
from dataset_files import make_images, one_dataset, picture
from PIL import Image, ImageDraw

from lora_trainer.data.plan import lint as room
from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.lint import WHY, LintSettings, Look, Looks, Words, lint, told
from lora_trainer.data.plan.lint.near import groups
from lora_trainer.data.plan.lint.tags import is_tags, misspelt

SIX = {f"{name}.png": (64, 64) for name in "abcdef"}


@pytest.fixture
def folder(tmp_path):
    """Six pictures that differ, each with a caption of its own."""
    made = make_images(tmp_path / "frogs", SIX)
    for number, name in enumerate("abcdef"):
        (made / f"{name}.txt").write_text(f"sls frog on the {name}th leaf of {number} green leaves", encoding="utf-8")
    return made


def look(folder, *others, settings=None, subset=None, **dataset):
    """code -> finding, of the plan and of the lint."""
    own = {"image_dir": folder, "caption_extension": ".txt", "class_tokens": "sls frog", **(subset or {})}
    plan = make_plan(one_dataset(own, *others, **dataset))
    found = [*plan.findings, *lint(plan, settings or LintSettings(), looks=Looks()).findings]
    assert {one.code for one in found} <= {"", *WHY}, "each kind says why it matters"
    assert all(told(one)["fix"]["label"] for one in found if one.fix), "each mend says what it does"
    return {one.code: one for one in found if one.code}


def names(finding):
    return [Path(path).name for path in finding.files]


def test_a_good_data_set_has_no_finding(folder):
    assert look(folder) == {}


def test_captions_without_the_identifier_are_found_whatever_its_case_and_a_part_of_a_word_does_not_count(folder):
    (folder / "a.txt").write_text("an SLS frog")
    (folder / "b.txt").write_text("a slsfrog")
    found = look(folder)["identifier_absent"]
    assert (found.level, names(found)) == ("warning", ["b.png"])
    assert (found.fix.name, found.fix.values) == ("add_words", {"text": "sls"})
    assert "identifier_absent" not in look(folder, subset={"caption_prefix": "sls"}), "the prefix says it"


def test_without_class_tokens_of_two_words_nothing_is_asked_of_the_captions(folder):
    assert look(folder, subset={"class_tokens": "frog"}) == {}
    found = look(folder, settings=LintSettings(words={str(folder): Words("ohwx", "frog")}))
    assert len(found["identifier_absent"].files) == 6


@pytest.mark.parametrize(
    ("word", "code"), [("frog", "identifier_common"), ("xqzvbwkj", "identifier_tokens"), ("sks", ""), ("ohwx", "")]
)
def test_an_identifier_that_is_a_common_word_or_many_tokens_is_told(folder, word, code):
    found = look(folder, settings=LintSettings(words={str(folder): Words(word, "thing")}))
    assert {one for one in found if one in ("identifier_common", "identifier_tokens")} == ({code} if code else set())


def test_a_missing_class_is_told(folder):
    assert "class_missing" in look(folder, settings=LintSettings(words={str(folder): Words("sls", "")}))


def test_regularisation_captions_that_name_the_subject_are_found(folder, tmp_path):
    reg = make_images(tmp_path / "reg", {"r.png": (64, 64), "s.png": (64, 64)}, captions="a sls frog")
    picture(64, 64, seed=9).save(reg / "r.png")
    picture(64, 64, seed=8).save(reg / "s.png")
    spec = {"image_dir": reg, "is_reg": True, "class_tokens": "frog", "caption_extension": ".txt"}
    assert names(look(folder, spec)["identifier_in_reg"]) == ["r.png", "s.png"]


def test_a_caption_that_is_too_long_is_shown_where_it_is_cut(folder):
    (folder / "c.txt").write_text("sls frog, " + "green, " * 40 + "the end of it")
    found = look(folder)["long_caption"]
    assert (names(found), found.fix.name) == (["c.png"], "cut_captions")
    assert "«" in found.message and "the end of it»" in found.message
    assert "long_caption" not in look(folder, settings=LintSettings(max_tokens=225))


@pytest.mark.parametrize(
    ("caption", "settings", "weighted", "said"),
    [
        ("a (red frog", {}, True, "a ( that nothing closes"),
        ("a red) frog", {}, True, "a ) that closes nothing"),
        ("a [(red] frog)", {}, True, "a ] that closes nothing"),
        ("a (red:1.2), \\(frog [x]", {}, True, ""),
        ("a (red, green:1.2) frog", {}, True, ""),
        ("a (red, green:1.2) frog", {"shuffle_caption": True}, True, "a , inside a bracket, at which tags are taken apart"),
        ("a (red frog", {}, False, ""),
        ("a {red|green frog", {"enable_wildcard": True}, False, "a brace that nothing closes"),
        ("a red}\nfrog", {"enable_wildcard": True}, False, "a brace that closes nothing"),
        ("a {red|{big|small}} frog", {"enable_wildcard": True}, False, "braces inside each other"),
        ("a {{red}} {frog|toad}", {"enable_wildcard": True}, False, ""),
        ("a {red frog", {}, True, ""),
    ],
)
def test_brackets_without_a_partner_are_told_where_brackets_mean_something(folder, caption, settings, weighted, said):
    (folder / "c.txt").write_text(f"sls frog {caption}")
    found = look(folder, subset=settings, settings=LintSettings(weighted=weighted)).get("brackets")
    assert (names(found), found.message.count(f"c.png ({said})")) == (["c.png"], 1) if said else found is None


def test_the_same_caption_for_all_and_a_copied_one_are_told_apart(folder):
    (folder / "b.txt").write_text((folder / "a.txt").read_text())
    assert names(look(folder)["repeated_caption"]) == ["a.png", "b.png"]
    for path in folder.glob("*.txt"):
        path.write_text("sls frog")
    found = look(folder)
    assert "all 6 captions are the same" in found["same_caption"].message
    assert "repeated_caption" not in found


def test_a_tag_one_letter_away_from_a_frequent_one_is_misspelt():
    counts = {"green eyes": 9, "gren eyes": 1, "1girl": 9, "2girls": 1, "cat ear": 9, "cat ears": 1, "smile": 8, "simle": 1}
    assert misspelt({**counts, "Smile": 1, "long hair": 5, "log hair": 2}) == {
        "gren eyes": "green eyes",
        "simle": "smile",
        "Smile": "smile",
    }


def test_misspelt_tags_name_their_picture_and_what_is_meant(folder):
    for name in "abcde":
        (folder / f"{name}.txt").write_text(f"sls, frog, green eyes, {name}")
    (folder / "f.txt").write_text("sls, frog, gren eyes, f")
    found = look(folder)["misspelt_tag"]
    assert (names(found), found.fix.values) == (["f.png"], {"tags": {"gren eyes": "green eyes"}})


def test_tags_and_sentences_are_told_apart():
    assert is_tags("1girl, green eyes, smile")
    assert is_tags("a frog that sits on a green leaf, near the water") is False
    assert is_tags("sls frog") is None


def test_captions_of_two_kinds_are_told(tmp_path):
    made = make_images(tmp_path / "x", {f"{number}.png": (64, 64) for number in range(12)})
    for number in range(12):
        text = "a frog that sits on a leaf and looks at flies" if number < 2 else f"frog, green, leaf {number}"
        (made / f"{number}.txt").write_text(f"sls {text} {number}")
    assert names(look(made)["mixed_captions"]) == ["0.png", "1.png"]


def test_copies_of_a_file_and_pictures_that_look_alike_are_found_apart_and_the_larger_stays(folder):
    (folder / "copy.png").write_bytes((folder / "a.png").read_bytes())
    with Image.open(folder / "b.png") as image:
        image.resize((200, 200)).save(folder / "large.jpg", quality=80)
    found = look(folder, enable_bucket=True, min_bucket_reso=64, resolution=(128, 128), subset={"class_tokens": "sls frog"})
    assert names(found["duplicate"]) == ["a.png", "copy.png"]
    assert [Path(path).name for path in found["duplicate"].fix.values["files"]] == ["copy.png"]
    assert sorted(names(found["near_duplicate"])) == ["b.png", "large.jpg"]
    assert [Path(path).name for path in found["near_duplicate"].fix.values["files"]] == ["b.png"]


def test_a_picture_among_both_kinds_is_found_by_its_bytes(folder, tmp_path):
    reg = make_images(tmp_path / "reg", {"r.png": (64, 64)}, captions="frog")
    (reg / "r.png").write_bytes((folder / "a.png").read_bytes())
    found = look(folder, {"image_dir": reg, "is_reg": True, "caption_extension": ".txt"})
    assert sorted(names(found["reg_is_training"])) == ["a.png", "r.png"]


def test_what_is_shown_of_a_picture_counts_and_not_how_it_is_stored(tmp_path):
    image = picture(160, 120, seed=3)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.jpg", quality=70)
    image.convert("RGBA").save(tmp_path / "c.webp")
    turned, exif = image.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "d.jpg", exif=exif)
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    looks, waiting = Looks().at(str(path) for path in sorted(tmp_path.iterdir()))
    assert waiting == 0
    assert [sorted(Path(path).name for path in group) for group in groups(looks)] == [["a.png", "b.jpg", "c.webp", "d.jpg"]]


def test_bars_are_found_and_a_plain_ground_is_none(folder):
    framed = Image.new("RGB", (64, 64), "black")
    framed.paste(picture(64, 40), (0, 12))
    framed.save(folder / "a.png")
    ground = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(ground).ellipse((12, 12, 52, 52), fill="green")
    ground.save(folder / "b.png")
    assert names(look(folder)["bars"]) == ["a.png"]


def test_pictures_that_show_nothing_and_transparent_ones_are_found(folder):
    Image.new("RGB", (64, 64), (200, 10, 10)).save(folder / "a.png")
    seen_through = picture(64, 64, seed=1).convert("RGBA")
    seen_through.putalpha(Image.new("L", (64, 64), 255))
    seen_through.save(folder / "b.png")  # opaque: an alpha channel alone says nothing
    seen_through.paste((0, 0, 0, 0), (0, 0, 20, 20))
    seen_through.save(folder / "c.png")
    found = look(folder)
    assert (names(found["flat"]), names(found["transparent"])) == (["a.png"], ["c.png"])
    assert "transparent" not in look(folder, subset={"alpha_mask": True})


def test_extreme_shapes_and_small_pictures_are_found(folder):
    picture(64, 300).save(folder / "a.png")
    buckets = {"enable_bucket": True, "min_bucket_reso": 64, "resolution": (256, 256)}
    found = look(folder, **buckets)
    assert names(found["extreme_shape"]) == ["a.png"]
    assert names(found["enlarged"]) == ["b.png", "c.png", "d.png", "e.png", "f.png"]
    assert found["enlarged"].fix.values == {"bucket_no_upscale": True}


def test_buckets_that_fill_no_batch_are_told(folder):
    picture(64, 128).save(folder / "a.png")
    chosen = {"enable_bucket": True, "min_bucket_reso": 64, "resolution": (128, 128), "batch_size": 2}
    found = look(folder, **chosen)["unfilled_bucket"]
    assert (names(found), found.fix.values) == (["a.png"], {"bucket_reso_steps": 128})
    assert "unfilled_bucket" not in look(folder, **{**chosen, "batch_size": 1})


def test_concepts_out_of_balance_get_the_repeats_that_balance_them(folder, tmp_path):
    few = make_images(tmp_path / "few", {"z.png": (64, 64)}, captions="ohwx toad in the last of all ponds")
    picture(64, 64, seed=31).save(few / "z.png")
    found = look(folder, {"image_dir": few, "class_tokens": "ohwx toad", "caption_extension": ".txt"})["unbalanced"]
    assert found.fix.values == {"repeats": {str(folder): 1, str(few): 6}}


def test_a_few_regularisation_pictures_that_fill_many_places_are_a_warning(folder, tmp_path):
    reg = make_images(tmp_path / "reg", {"r.png": (64, 64)}, captions="frog")
    picture(64, 64, seed=40).save(reg / "r.png")
    assert look(folder, {"image_dir": reg, "is_reg": True}, subset={"num_repeats": 5})["reg_few"].level == "warning"
    assert look(folder, {"image_dir": reg, "is_reg": True})["reg_few"].level == "info"


@pytest.mark.parametrize(("steps", "code"), [(60, "shown_seldom"), (900, ""), (4200, "shown_often")])
def test_pictures_that_are_shown_seldom_or_very_often_are_told(folder, steps, code):
    found = look(folder, settings=LintSettings(total_steps=steps))
    assert {one for one in found if one.startswith("shown")} == ({code} if code else set())
    if code:
        assert found[code].fix.values == {"max_train_steps": 900, "max_train_epochs": None}


@pytest.mark.parametrize(("steps", "said"), [(6, "is shown once in 6 steps"), (60, "times in 60 steps")])
def test_once_is_not_one_times(folder, steps, said):
    assert said in look(folder, settings=LintSettings(total_steps=steps))["shown_seldom"].message


def test_a_caption_in_another_encoding_and_a_damaged_picture_name_what_mends_them(folder):
    (folder / "a.txt").write_bytes("개구리".encode("cp949"))
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:80])
    (folder / "c.txt").write_bytes(b"")
    found = look(folder)
    assert [(names(found[code]), found[code].fix.name) for code in ("encoding", "damaged", "empty_caption")] == [
        (["a.png"], "reencode"),
        (["b.png"], "put_aside"),
        (["c.png"], "write_captions"),
    ]


def test_a_look_is_taken_once_until_the_file_changes_and_no_longer_than_there_is_time(folder, monkeypatch):
    taken = []
    module = room.looks
    real = module.read_look
    monkeypatch.setattr(module, "read_look", lambda path: taken.append(path) or real(path))
    looks, paths = Looks(), [str(path) for path in sorted(folder.glob("*.png"))]
    assert looks.at(paths, until=0.0) == ({}, 6)
    assert looks.at(paths)[1] == 0 and looks.at(paths, until=0.0) == looks.at(paths)
    assert len(taken) == 6
    picture(64, 65).save(folder / "a.png")
    assert len(looks.at(paths)[0]) == 6 and len(taken) == 7


def test_thousands_of_looks_are_compared_without_each_with_each(monkeypatch):
    random.seed(3)
    seen = {}
    for number in range(4_000):
        outline = random.getrandbits(128) if number % 2 else random.getrandbits(40)  # half of them on a plain ground
        seen[f"{number}"] = Look(outline, random.randbytes(192))
    for number in range(10):
        first = seen[f"{1001 + 2 * number}"]
        seen[f"copy {number}"] = replace(first, outline=first.outline ^ 0b101)
    compared = []
    near = room.near
    real = near._neighbours
    monkeypatch.setattr(near, "_neighbours", lambda some: (compared.append(pair) or pair for pair in real(some)))
    assert sorted(group[1] for group in groups(seen)) == [f"copy {number}" for number in range(10)]
    assert len(compared) < 150 * len(seen)


def test_a_picture_that_cannot_be_decoded_has_no_look(tmp_path):
    buffer = io.BytesIO()
    picture(64, 64).save(buffer, "PNG")
    (tmp_path / "half.png").write_bytes(buffer.getvalue()[:90])
    assert Looks().at([str(tmp_path / "half.png"), str(tmp_path / "gone.png")]) == ({}, 0)


def test_the_training_tells_of_brackets_too(folder):
    pytest.importorskip("torch")
    from lora_trainer.training.captions import wrong_brackets

    (folder / "c.txt").write_text("sls frog (green")
    plan = make_plan(one_dataset({"image_dir": folder, "caption_extension": ".txt"}))
    assert wrong_brackets(plan, weighted=False) == []
    (said,) = wrong_brackets(plan, weighted=True)
    assert "1 caption" in said and "c.png (a ( that nothing closes)" in said
