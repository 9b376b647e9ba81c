"""What takes too long, or needs too much of the machine, for each change: `make nightly`."""
