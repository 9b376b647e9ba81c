"""What is wrong with CVAT on this host: looked at from outside, told with evidence and the command that mends it."""
