"""What will be trained, found out before anything starts. Standard library and Pillow only.

plan = make_plan(spec, seed=42)
plan.findings                 # what is wrong or odd, each with level, message, where, field
plan.raise_errors()           # InputErrors if training cannot start
plan.batches(epoch=0)         # the same list for the same (seed, epoch), in every process
count_steps(plan, max_train_epochs=10).total_steps
"""

from .build import make_plan
from .facts import metadata
from .model import DataPlan, DatasetPlan, Finding, PlannedBatch, PlannedImage, SubsetPlan
from .steps import StepCounts, count_steps

__all__ = [
    "DataPlan",
    "DatasetPlan",
    "Finding",
    "PlannedBatch",
    "PlannedImage",
    "StepCounts",
    "SubsetPlan",
    "count_steps",
    "make_plan",
    "metadata",
]
