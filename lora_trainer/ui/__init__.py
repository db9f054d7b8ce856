"""The page: one mount point for the Gradio tab and the list of the browser files that draw everything else.

Floor 3a: runs on the host's own gradio (3.41.2, 4.40.0 and 6 are tested) and imports nothing else.
"""
