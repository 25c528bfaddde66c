"""Published results on self-supervised learning in medical imaging, each with its source."""

from tassl.advisor.evidence.reading import Evidence, load, local_folder
from tassl.advisor.evidence.schema import METRICS, TABLES

__all__ = ["METRICS", "TABLES", "Evidence", "load", "local_folder"]
