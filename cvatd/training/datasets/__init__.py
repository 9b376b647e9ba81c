"""From a URL to a checked data set in a run's folder. Begin at `ingest.ingest`."""
