"""Data sets as a person works on them: folders of pictures with captions, found, searched, changed, and put back as they were.

library = Library(user_dir)
dataset = library.open([folder])             # known pictures at once, the rest is read in the background
ids = dataset.query(parse("untagged OR tokens>75"))
done = library.edit(dataset, {"kind": "add", "tags": ["sls"], "at": "start"}, ids)
library.undo(dataset)

Standard library and Pillow. What a picture's caption file is, and what stands in it, is asked of data.plan.
"""
