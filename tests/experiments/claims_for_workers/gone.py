import os

from tests.experiments.claims_for_workers import make

CLAIM = make(lambda *_: os._exit(0))
