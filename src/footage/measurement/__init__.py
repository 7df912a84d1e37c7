"""Evaluation: what is compared with what, the figures of it, and everything that it takes to trust them.

`plan` settles the clips, `describe` lets them pass by once, `engine` computes figures of what was written down.
"""

from footage.measurement.engine import METRICS, measure
from footage.measurement.plan import Options
from footage.measurement.table import table

__all__ = ["METRICS", "Options", "measure", "table"]
