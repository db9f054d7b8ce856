"""The tools: one file each, and THE table from which commands, page and host are made.

To add one: its file here (options and page, standard library only) and its line in TOOLS, its code in `lora_trainer.tools`, and
its test.
"""

from __future__ import annotations

from . import (
    check_lora,
    clean_metadata,
    clear_cache,
    convert_lora,
    extract_lora,
    make_captions,
    merge_lora,
    merge_to_metadata,
    metadata,
    prepare_buckets_latents,
    resize_images,
    resize_lora,
    split_dylora,
    svd_merge_lora,
    tag_images_by_deepdanbooru,
    tag_images_by_wd14_tagger,
    undo_captions,
)
from .declaring import PageTool, Tool

TOOLS: tuple[Tool, ...] = (
    svd_merge_lora.TOOL,
    merge_lora.TOOL,
    resize_lora.TOOL,
    extract_lora.TOOL,
    split_dylora.TOOL,
    convert_lora.TOOL,
    check_lora.TOOL,
    metadata.SHOW,
    metadata.EDIT,
    resize_images.TOOL,
    merge_to_metadata.CAPTIONS,
    merge_to_metadata.TAGS,
    clean_metadata.TOOL,
    prepare_buckets_latents.TOOL,
    clear_cache.TOOL,
    tag_images_by_wd14_tagger.TOOL,
    make_captions.TOOL,
    make_captions.BY_GIT,
    tag_images_by_deepdanbooru.TOOL,
    undo_captions.TOOL,
)
"""In the order of the page and of the list of commands."""

PAGE_TOOLS: tuple[PageTool, ...] = tuple(page for tool in TOOLS for page in tool.page_tools())
