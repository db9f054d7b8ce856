"""One click queues variants; runs stand side by side with what differs."""

from __future__ import annotations

import pytest

from lora_trainer.api import comparing
from lora_trainer.recipes.recipe import Origin
from lora_trainer.runs.events import RunReporter

from .conftest import get, post


def ask(client, values, option, several, **more):
    return post(client, "variants", {"values": values, "option": option, "list": several, **more})


def test_variants_are_told_and_queued_under_derived_names(client, service, values):
    told = ask(client, values, "learning_rate", [1e-4, 3e-4, "1e-3"]).json()["variants"]
    assert [one["name"] for one in told] == ["frog-lr-1e-4", "frog-lr-3e-4", "frog-lr-0.001"]
    assert all(one["problems"] == [] for one in told) and get(client, "runs").json()["runs"] == []
    queued = ask(client, values, "learning_rate", [1e-4, 3e-4, "1e-3"], queue=True)
    assert queued.status_code == 201
    assert [one["name"] for one in queued.json()["runs"]] == [one["name"] for one in told]
    configs = [service.supervisor.folder(one["id"]).config.read_text() for one in queued.json()["runs"]]
    assert ["learning_rate = 0.0003" in config for config in configs] == [False, True, False]
    assert [run.name for run in service.store.queue()] == [one["name"] for one in told]  # in this order


@pytest.mark.parametrize(
    ("option", "several", "names"),
    [
        ("network_dim", [4, 8], ["frog-rank-4", "frog-rank-8"]),
        ("flip_aug", [True, False], ["frog-flip_aug-on", "frog-flip_aug-off"]),
        ("lr_scheduler", ["cosine", "constant"], ["frog-cosine", "frog-constant"]),
        ("num_repeats", [1, 5], ["frog-repeats-1", "frog-repeats-5"]),
        ("network_args", [["conv_dim=4"], ["conv_dim=8"]], ["frog-network_args-conv_dim_4", "frog-network_args-conv_dim_8"]),
        ("min_snr_gamma", [None, 5], ["frog-snr-none", "frog-snr-5"]),
        ("resolution", ["256", "256,320"], ["frog-resolution-256", "frog-resolution-256_320"]),
    ],
)
def test_any_option_can_be_varied(client, values, option, several, names):
    told = ask(client, values, option, several).json()["variants"]
    assert [one["name"] for one in told] == names and not any(one["problems"] for one in told)


@pytest.mark.parametrize(
    ("option", "several", "field", "said"),
    [
        ("learning_rate", [1e-4], "list", "expected 2 to 12"),
        ("learning_rate", [n / 1e5 for n in range(1, 14)], "list", "13 values"),
        ("learning_rate", [1e-4, "much"], "list", "not a number"),
        ("learning_rate", [1e-4, "0.0001"], "list", "given twice"),
        ("output_name", ["a", "b"], "option", "cannot be varied"),
        ("wandb_api_key", ["a", "b"], "option", "cannot be varied"),
        ("lerning_rate", [1, 2], "option", "cannot be varied"),
    ],
)
def test_what_cannot_be_varied_is_said(client, values, option, several, field, said):
    refused = ask(client, values, option, several)
    assert refused.status_code == 422
    (problem,) = refused.json()["problems"]
    assert problem["field"] == field and said in problem["message"]


def test_variants_need_a_name_to_begin_with(client, values):
    refused = ask(client, {**values, "output_name": " "}, "learning_rate", [1, 2])
    assert refused.status_code == 422 and refused.json()["problems"][0]["field"] == "output_name"


def test_one_bad_variant_keeps_all_from_the_queue(client, values):
    refused = ask(client, {**values, "enable_bucket": False}, "resolution", ["256", "260"], queue=True)
    assert refused.status_code == 422 and "frog-resolution-260" in {one["where"] for one in refused.json()["problems"]}
    assert get(client, "runs").json()["runs"] == []


def test_runs_stand_side_by_side_with_what_differs(client, service, values):
    more = {"network_dim": 4, "prompts": "a frog", "save_every_n_steps": 5, "train_batch_size": 2}
    ids = [post(client, "runs", {"values": {**values, **own}}).json()["id"] for own in ({}, more)]
    for number, run_id in enumerate(ids, 1):
        reporter = RunReporter(service.supervisor.folder(run_id).path)
        for step in range(1, 5):
            reporter.emit({"type": "step", "step": step, "epoch": 1, "loss": number / step, "lr": {"unet": 1e-4}})
        reporter.emit({"type": "validation", "step": 4, "loss": number / 10})
    answer = get(client, "compare", params={"runs": ",".join(ids)}).json()
    best = [run["curve"]["validation"]["best"] for run in answer["runs"]]
    assert best == [{"step": 4, "loss": 0.1}, {"step": 4, "loss": 0.2}]
    assert [run["id"] for run in answer["runs"]] == ids
    for run in answer["runs"]:
        assert run["curve"]["steps"] == [1, 2, 3, 4] and run["curve"]["lr"] == [1e-4] * 4
        assert {"samples", "name", "state"} <= run.keys()
    assert [run["curve"]["loss"][0] for run in answer["runs"]] == [1.0, 2.0]
    found = {one["name"]: (one["texts"], one["counts"]) for one in answer["settings"]}
    assert found["network_dim"] == (["16", "4"], True)
    assert found["train_batch_size"] == (["1", "2"], True)
    assert found["save_every_n_steps"] == (["", "5"], False)
    assert found["output_name"] == (["frog", "frog-2"], False)
    assert not {"learning_rate", "image_dir", "output_dir", "dataset_config"} & found.keys()


def test_an_embedding_has_no_rank_to_compare():
    def meant(name, trains):
        return comparing._meant(name, "4", Origin(settings={"trains": trains}, data={}, versions={}))

    assert [meant("network_dim", one) for one in ("embedding", "model", "pivotal", "network")] == ["", "", "4", "4"]
    assert meant("max_train_steps", "embedding") == "4"


def test_two_to_six_runs_can_be_compared(client, values):
    (run,) = [post(client, "runs", {"values": values}).json()["id"]]
    assert get(client, "compare", params={"runs": run}).status_code == 400
    assert get(client, "compare", params={"runs": ",".join(str(n) for n in range(7))}).status_code == 400
    assert get(client, "compare", params={"runs": f"{run},gone"}).status_code == 404
