"""What is allowed in a data set, but hardly meant, or known to spoil trainings: found before an hour is lost.

found = lint(plan, LintSettings(total_steps=2000))
found.findings                # of level warning and info; each has code, files, and often a fix
WHY[finding.code]             # why it matters
found.waiting                 # pictures that were not looked at yet, where the time did not suffice

What keeps a training from starting is found by `make_plan` itself.
"""

from .checking import BEHIND, Lint, LintSettings, lint
from .looks import Look, Looks
from .telling import told
from .whys import WHY
from .words import Words

__all__ = ["BEHIND", "WHY", "Lint", "LintSettings", "Look", "Looks", "Words", "lint", "told"]
