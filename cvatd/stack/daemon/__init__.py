"""`cvatd daemon`: keeps what was brought up well, answers on a Unix socket, and never fights with people."""
