"""Which saved file lies in the LoRA folder under a run's name: what a person chose is known, told of and never lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lora_trainer.runs import placing
from lora_trainer.runs.store import FAILED, FINISHED

from .harness import make, run_until, submit, until


@pytest.fixture
def supervisor(tmp_path):
    supervisor = make(tmp_path)
    yield supervisor
    supervisor.close()


STEP_1, FINAL = "frog-step00000001.safetensors", "frog.safetensors"


def lora(supervisor, name=FINAL) -> Path:
    return supervisor.host.paths().lora_dir / name


def in_use(supervisor):
    run = supervisor.store.get("run-1")
    return placing.in_use(supervisor.folder("run-1"), run.result)


def saved(supervisor):
    """{name: content} of the files that the page lists."""
    sizes = supervisor.folder("run-1").saved_sizes()
    names = [Path(path).name for path in supervisor.progress("run-1")[0].files]
    return {name: (supervisor.folder("run-1").output / name).read_text() for name in names if name in sizes}


def trained(supervisor, *script, **request):
    submit(supervisor, *(script or ("step", "save", "step", "state")), **request)
    return run_until(supervisor, FINISHED, FAILED)


def test_the_file_in_use_is_known_and_each_saved_one_can_be_put_in_use(supervisor):
    assert trained(supervisor).state == FINISHED
    assert (in_use(supervisor).file, in_use(supervisor).chosen) == (FINAL, False)
    assert supervisor.use("run-1", STEP_1, as_result=True) == lora(supervisor)
    assert lora(supervisor).read_text() == "weights of step 1" and in_use(supervisor).as_dict() == {
        "name": "frog", "file": STEP_1, "there": True, "chosen": True,
    }  # fmt: skip
    supervisor.use("run-1", FINAL, as_result=True)
    assert lora(supervisor).read_text() == "weights of step 2" and in_use(supervisor).file == FINAL
    assert set(saved(supervisor)) == {STEP_1, FINAL}


def test_of_two_equal_files_the_chosen_one_stays_in_use_when_the_file_is_touched(supervisor):
    trained(supervisor, "step", "save")  # the last step, saved on the way and as the final file
    for name in (STEP_1, FINAL):
        supervisor.use("run-1", name, as_result=True)
        os.utime(lora(supervisor), (5.0, 5.0))
        assert in_use(supervisor).file == name


def test_what_a_person_did_to_the_folder_is_seen(supervisor):
    trained(supervisor)
    lora(supervisor).write_text("weights of step 1")  # copied there by hand
    assert (in_use(supervisor).file, in_use(supervisor).is_there) == (STEP_1, True)
    lora(supervisor).write_text("something else")
    assert (in_use(supervisor).file, in_use(supervisor).is_there) == ("", True)
    assert supervisor.use("run-1", STEP_1, as_result=True) == lora(supervisor, "frog-2.safetensors")
    assert lora(supervisor).read_text() == "something else", "it is not ours to replace"
    assert supervisor.store.get("run-1").result.endswith("frog-2.safetensors") and in_use(supervisor).file == STEP_1
    lora(supervisor, "frog-2.safetensors").unlink()
    assert (in_use(supervisor).file, in_use(supervisor).is_there) == ("", False)


def test_a_run_of_an_older_program_is_known_by_what_lies_there(supervisor):
    trained(supervisor)
    supervisor.folder("run-1").placed.unlink()
    assert in_use(supervisor).file == FINAL


def test_somebody_s_lora_of_the_name_is_not_replaced_by_a_choice_while_it_trains(supervisor):
    lora(supervisor).parent.mkdir(parents=True, exist_ok=True)
    lora(supervisor).write_text("mine")
    submit(supervisor, "step", "save", "wait-for-file", "step")
    until(supervisor, lambda: STEP_1 in saved(supervisor))
    assert in_use(supervisor).as_dict() == {"name": None, "file": None, "there": False, "chosen": False}
    assert supervisor.use("run-1", STEP_1, as_result=True) == lora(supervisor, "frog-2.safetensors")
    (supervisor.folder("run-1").path / "go-on").touch()
    run = run_until(supervisor, FINISHED)
    assert Path(run.result) == lora(supervisor, "frog-2.safetensors"), "the same name for one run"
    assert lora(supervisor).read_text() == "mine" and Path(run.result).read_text() == "weights of step 2"
    assert run.message.startswith("frog-2 is now what this training came to") and STEP_1 in run.message


def test_training_further_takes_the_place_of_the_chosen_one_says_so_and_loses_nothing(supervisor):
    trained(supervisor, script_resumed=["step", "forget"])  # as a new worker may remove older files
    supervisor.use("run-1", STEP_1, as_result=True)
    supervisor.resume("run-1")
    run = run_until(supervisor, FINISHED)
    assert lora(supervisor).read_text() == "weights of step 3" and in_use(supervisor).file == FINAL
    assert f"{STEP_1}, which was in use until now, is still among its files" in run.message
    assert saved(supervisor) == {
        STEP_1: "weights of step 1",
        "frog-step00000002.safetensors": "weights of step 2",  # the final file of before
        FINAL: "weights of step 3",
    }
    supervisor.use("run-1", "frog-step00000002.safetensors", as_result=True)
    assert lora(supervisor).read_text() == "weights of step 2"


def test_where_nobody_has_chosen_the_new_final_file_is_no_news_and_the_one_before_stays(supervisor):
    trained(supervisor, "step", "state", script_resumed=["step"])
    supervisor.resume("run-1")
    assert in_use(supervisor).file == STEP_1, "the final file of before has the name of its step"
    run = run_until(supervisor, FINISHED)
    assert run.message == "" and saved(supervisor) == {STEP_1: "weights of step 1", FINAL: "weights of step 2"}
    assert in_use(supervisor).as_dict() == {"name": "frog", "file": FINAL, "there": True, "chosen": False}


def test_what_is_chosen_while_a_resumed_run_trains_is_ours_to_replace(supervisor):
    trained(supervisor, script_resumed=["wait-for-file", "step"])
    supervisor.resume("run-1")
    until(supervisor, lambda: supervisor.store.get("run-1").is_active)
    supervisor.use("run-1", STEP_1, as_result=True)
    (supervisor.folder("run-1").path / "go-on").touch()
    run = run_until(supervisor, FINISHED)
    assert Path(run.result) == lora(supervisor) and lora(supervisor).read_text() == "weights of step 3"
    assert STEP_1 in run.message


def test_the_preview_is_what_was_drawn_until_the_file_was_saved(supervisor):
    trained(supervisor, "step", "sample", "save", "step", "sample")
    early = supervisor.folder("run-1").samples / "000001.png"
    early.write_bytes(early.read_bytes() + b"early")
    supervisor.use("run-1", STEP_1, as_result=True)
    assert lora(supervisor, "frog.png").read_bytes().endswith(b"early")
    supervisor.use("run-1", FINAL, as_result=True)
    assert not lora(supervisor, "frog.png").read_bytes().endswith(b"early")


def test_the_word_that_lies_beside_a_lora_goes_to_the_embeddings_with_it(supervisor, tmp_path):
    target = tmp_path / "embeddings" / "sls.safetensors"
    target.parent.mkdir()
    trained(supervisor, word_target=str(target))
    output = supervisor.folder("run-1").output
    for name in (STEP_1, FINAL):
        (output / name.replace(".s", "_emb.s")).write_text(f"the word of {name}")
    supervisor.use("run-1", STEP_1, as_result=True)
    assert target.read_text() == f"the word of {STEP_1}"
    supervisor.use("run-1", FINAL, as_result=True)
    assert target.read_text() == f"the word of {FINAL}", "its own is replaced"
    target.write_text("somebody else's")
    supervisor.use("run-1", STEP_1, as_result=True)
    assert target.read_text() == "somebody else's" and target.with_stem("sls-2").read_text() == f"the word of {STEP_1}"
    assert [path.name for path in supervisor.folder("run-1").saved_loras()] == [STEP_1, FINAL]
