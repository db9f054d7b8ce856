"""Everything below `/lora-trainer/api/`. JSON in, JSON out; the shapes are described in docs/api.md.

Every answer is a JSON object. An error has a status of 400 or more and is
    {"error": {"message": str, "advice": str, "field": str}, "problems": [Problem, ...]?}
POST wants `Content-Type: application/json` (an empty body counts as {}); only `uploads` takes multipart/form-data, and then
the header `X-Lora-Trainer: 1` is required. GET changes nothing. URLs in answers are relative to `/lora-trainer/api/`.

Problem  {"field": str, "level": "error"|"warning"|"info", "message": str, "advice": str, "where": str}   field: name of the form's field or option, or ""
Run      {"id", "name", "state": "queued"|"running"|"stopping"|"finished"|"stopped"|"failed", "active": bool,
          "created", "started", "ended": seconds since 1970 or null, "queue_position": int (1 = next) or null,
          "message": str, "advice": str          why it failed, or what it waits for,
          "phase": {"name", "done", "total"} or null, "step", "total_steps", "epoch", "epochs", "steps_per_epoch": int or null,
          "loss", "smoothed_loss", "lr": float or null, "lrs": {name: float}, "samples_per_second", "seconds_per_step", "seconds_left": float or null,
          "peak_memory": bytes or null, "device": str, "last_sign_of_life": seconds since 1970 or null,
          "samples": [{"name", "url", "thumb", "step", "prompt", "seed"}], "files": [{"name", "url", "step", "epoch", "final", "bytes"}],
          "warnings": [str], "lora": {"name", "path", "prompt": "sls frog <lora:name:0.8>", "activation": "sls frog"} or null}
Detail   Run plus {"curve": {"steps": [int], "loss": [float], "smoothed": [float], "lr": [float]}   at most 600 points, the whole run,
          "log": last lines of the log, "config": config.toml, "dataset": dataset.toml, "prompts": prompts.txt, "command": shell line that repeats it,
          "values": what the form sent or null, "folder": path}

| method, path                     | body -> answer                                                                               |
|----------------------------------|----------------------------------------------------------------------------------------------|
| GET  state                       | {"version", "host": "standalone"|"webui", "problems": [Problem], "ready": bool, "read_only": str ("" or why), |
|                                  |  "user_dir", "lora_dir", "active": id or null, "runs": [Run] (newest first, 20 at most), "generating": id or null, "time"} |
| GET  form                        | {"checkpoints": [{"title", "path", "is_current"}], "vaes": [{"title", "path"}], "loras": [name], "lora_dir", "host", |
|                                  |  "spec": lora_trainer.ui.form.specification()}                                                |
| POST check                       | {"values"} or {"options", "dataset"?} -> {"ok": bool, "problems": [Problem], "plan": Plan or null, "base_model": {"family", "message"} or null, |
|                                  |  "output": {"name", "exists", "saved_as"}, "disk": {"free", "needed"}}                         |
| POST runs                        | the same, and "overwrite": bool (default false: a free name is chosen) -> 201 {"id", "name"}; 422 with problems |
| GET  runs                        | {"runs": [Run]}                                                                               |
| GET  runs/{id}                   | {"run": Detail, "offset": N}: the whole picture once, then poll with after=N                     |
| GET  runs/{id}?after=N           | {"run": Run, "events": [event...], "offset": N2, "more": bool, "log": last lines}; events as in architecture.md |
| POST runs/{id}/stop              | {"force": bool} -> {"run": Run}; at the next step boundary; force ends the process               |
| POST runs/{id}/save              | {} -> {"run": Run}; saves at the next step boundary                                             |
| POST runs/{id}/sample            | {} -> {"run": Run}; draws samples at the next step boundary                                     |
| POST runs/{id}/again             | {} -> 201 {"id", "name"}; queues the same settings again                                        |
| POST runs/{id}/use               | {"file": name, "overwrite": bool} -> {"lora": {...}}; puts one saved file of the run into the LoRA folder |
| POST runs/{id}/delete            | {} -> {}; the run's folder goes, the LoRA in the LoRA folder stays                             |
| GET  runs/{id}/file/{name}       | a sample (png), a saved .safetensors, log.txt, config.toml, dataset.toml, prompts.txt            |
| GET  runs/{id}/thumb/{name}      | a sample at most 256 pixels wide (jpeg)                                                        |
| POST uploads?folder=ID           | multipart, any number of files (folder left out: a new one)                                    |
|                                  |  -> {"id", "folder": path, "saved": [name], "refused": [{"name", "message"}], "images": int, "captions": int, "without_caption": [name]} |
| GET  uploads/{id}                | Folder                                                                                        |
| POST uploads/{id}/caption        | {"name": image, "caption": str, "extension": ".txt"} -> {}                                     |
| POST uploads/{id}/delete         | {"name": str or left out} -> {}; one image with its captions, or the whole folder               |
| GET  images?folder=PATH          | Folder {"id" or null, "folder", "images": [{"name", "thumb", "width", "height", "caption": str or null, "problem": str}], "more": int (not shown), "subfolders": [name]} |
| GET  images/thumb?folder=&name=  | at most 256 pixels wide (jpeg)                                                                |
| POST generate                    | {"request": {"prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "seed", "sampler", "batch_size", "batch_count", |
|                                  |  "clip_skip", "checkpoint", "vae"}} -> 201 {"id"}; 409 while a training has the card           |
| GET  generate/{id}               | {"id", "state": "waiting"|"running"|"finished"|"stopped"|"failed", "done", "total", "message", "advice", "images": [{"name", "url", "seed", "prompt"}]} |
| GET  generate/{id}/file/{name}   | a picture (png)                                                                               |
| POST generate/{id}/stop          | {} -> the same as GET generate/{id}                                                           |
| GET  loras                       | {"folder", "loras": [{"name", "path", "bytes", "modified", "activation", "weight", "base_model", "rank", "preview": url or ""}]} |
| GET  loras/preview?name=         | the card's picture                                                                            |

Plan     {"images", "reg_images", "steps_per_epoch", "epochs", "total_steps", "batch_size": int,
          "subsets": [{"folder", "is_reg", "images", "repeats", "captions", "class_tokens"}],
          "buckets": [{"width", "height", "images"}]   images with repeats counted, "examples": [{"image", "caption"}]}
"""
