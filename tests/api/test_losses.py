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
