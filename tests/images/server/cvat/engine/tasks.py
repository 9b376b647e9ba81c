"""Work for the queues."""

import time


def sleep(seconds):
    time.sleep(seconds)
    return seconds
