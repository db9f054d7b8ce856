"""How well each picture was learned: the worst of a run first."""

import json

from .conftest import get, post


def trained(client, service, values, images, rows):
    """A run whose worker has written these (name, relative)."""
    run_id = post(client, "runs", {"values": values}).json()["id"]
    told = [
        {"path": str(images / name), "caption": f"about {name}", "loss": 0.1, "relative": relative, "seen": 4}
        for name, relative in rows
    ]
    file = service.supervisor.folder(run_id).losses
    file.write_text(json.dumps({"version": 1, "step": 20, "pictures": told}))
    return run_id, file


def test_the_worst_learned_pictures_of_a_run_come_first_with_caption_and_thumbnail(client, service, values, images):
    run_id, file = trained(client, service, values, images, [("0.png", 0.9), ("1.png", 2.5), ("2.png", 1.0)])
    answer = get(client, f"runs/{run_id}/losses").json()
    assert [(one["name"], one["relative"]) for one in answer["pictures"]] == [("1.png", 2.5), ("2.png", 1.0), ("0.png", 0.9)]
    assert (answer["total"], answer["pictures"][0]["caption"]) == (3, "about 1.png")
    assert get(client, answer["pictures"][0]["thumb"]).headers["content-type"] == "image/jpeg"
    for damaged in ("{", '{"pictures": [1, {"path": "x"}, {"path": 1, "caption": ""}]}', '{"pictures": 3}'):
        file.write_text(damaged)
        assert get(client, f"runs/{run_id}/losses").json() == {"pictures": [], "total": 0}
    file.unlink()
    assert get(client, f"runs/{run_id}/losses").json()["total"] == 0
    assert get(client, "runs/none/losses").status_code == 404


def test_what_changed_since_a_training_is_trained_further(client, service, values, images):
    run_id, _ = trained(client, service, {**values, "max_train_steps": 40}, images, [("0.png", 1.0), ("1.png", 1.0)])
    opened = post(client, "datasets", {"folders": [str(images)]}).json()
    ask = lambda body: post(client, f"datasets/{opened['id']}/retrain", body)  # noqa: E731
    assert "left its settings and its result" in ask({}).json()["error"]["message"]
    lora = service.paths.lora_dir / "frog.safetensors"
    lora.parent.mkdir(parents=True, exist_ok=True)
    lora.write_bytes(b"weights")
    service.store.change(run_id, result=str(lora))
    names = sorted(path.name for path in images.glob("*.png"))
    for name in ("0", "1"):
        (images / f"{name}.txt").write_text(f"about {name}.png")
    (images / "1.txt").write_text("another caption")
    answer = ask({}).json()
    kept = sorted(set(names) - {"0.png"})
    made = answer["values"]
    assert (answer["chosen"], answer["of"], answer["name"]) == (len(kept), len(names), "frog")
    assert (made["network_weights"], made["settings"]["exclude"]) == (str(lora), ["0.png"])
    assert made["max_train_steps"] == round(40 * len(kept) / len(names))
    checked = post(client, "check", {"values": made}).json()
    assert checked["plan"]["subsets"][0]["images"] == len(kept)
    rows = post(client, f"datasets/{opened['id']}/query", {"filter": "name:2"}).json()["ids"]
    assert ask({"ids": rows}).json()["values"]["settings"]["exclude"] == [name for name in names if name != "2.png"]
    assert "trained as they are now" in ask({"ids": []}).json()["error"]["message"]
