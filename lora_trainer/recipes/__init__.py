"""What a run is made of, read out of a file that somebody has: a LoRA, a configuration of kohya's GUI, a configuration file, a
preset. Each becomes one Recipe with a report of what was taken, renamed and dropped.

recipe = read([Given(Path("frog.safetensors"))])     # reading: which reader for which file
settle(recipe, surroundings)                         # places: models by their hash, folders by name and digest
form_values(recipe); files(recipe, Path("out"))      # form: for the page; written: for the command line
"""
