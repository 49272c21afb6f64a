"""Decoding of any model with a state; knows no task and no family of models."""

from nlpx.decode.beam_search import beam_search
from nlpx.decode.generate import extend, generate
from nlpx.decode.protocol import Decoded, Step
from nlpx.decode.sampling import Sampling, choose, filter_logits

__all__ = ["Decoded", "Sampling", "Step", "beam_search", "choose", "extend", "filter_logits", "generate"]
