from tests.experiments.claims_for_workers import make

CLAIM = make(lambda *_: {"value": 1})
