import signal
import time

from tests.experiments.claims_for_workers import make


def measure(*_):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # as in a compiled loop, no signal comes through
    time.sleep(60)


CLAIM = make(measure)
