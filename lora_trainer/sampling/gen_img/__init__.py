"""`gen_img_diffusers`: pictures by the options and prompt lines of kohya-ss' script, drawn as `generate` draws them."""
