"""The one door through which files that others made are read: bounded in size, depth and time, never run, never a surprise.

`reading` opens them (regular files alone), `json_text` parses JSON, `safetensors_header` and `pickles` tell what a model file
holds, `tensors` gives its tensors (the only module here that needs torch, and imports it when asked). Whatever is wrong
with a file is an UnreadableError; `errors_as` makes it the error of the room that asked, with the file's name in front.
Standard library only, but for `tensors`.
"""
