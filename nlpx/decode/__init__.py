"""Decoding of any model with a state; knows no task and no family of models."""

from nlpx.decode.beam_search import beam_search
from nlpx.decode.generate import extend, generate
from nlpx.decode.protocol import Decoded, Step
from nlpx.decode.repetition import SeenState, penalize_repetition
from nlpx.decode.sampling import Sampling, choose, filter_logits
from nlpx.decode.stops import check_stops, cut_at_stop, settled

__all__ = [
    "Decoded",
    "Sampling",
    "SeenState",
    "Step",
    "beam_search",
    "check_stops",
    "choose",
    "cut_at_stop",
    "extend",
    "filter_logits",
    "generate",
    "penalize_repetition",
    "settled",
]
