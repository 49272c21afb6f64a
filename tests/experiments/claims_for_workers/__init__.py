"""Claims that go wrong in ways which only another process survives."""

from nlpx.claims import Claim, Finding, Verdict


def make(measure):
    about = {"title": "A claim", "statements": (1,), "kind": "exact", "method": "m.", "decides": "d."}

    def conclude(results):
        return [Finding(1, Verdict.HOLDS, "1", "So it is.")]

    return Claim(**about, full=None, measure=measure, conclude=conclude, exhibit=lambda results: [])
