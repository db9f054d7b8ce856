"""The Web UI loads this file by its path before anything else: flags only, nothing of the package."""


def preload(parser):
    parser.add_argument(
        "--lora-trainer-dir",
        type=str,
        default=None,
        help="LoRA Trainer: folder for runs, uploads and samples (default: lora-trainer in the data folder)",
    )
