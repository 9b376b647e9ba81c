"""From a URL to a checked data set in a run's folder."""

from cvatd.training.datasets.errors import DatasetError, IngestStopped
from cvatd.training.datasets.ingest import Dataset, ingest
from cvatd.training.datasets.limits import DatasetLimits
from cvatd.training.datasets.progress import Stage

__all__ = ["Dataset", "DatasetError", "DatasetLimits", "IngestStopped", "Stage", "ingest"]
