"""Gives a test time to do something to the server while it loads."""

import time

time.sleep(2.0)
