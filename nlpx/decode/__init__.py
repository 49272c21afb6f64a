"""Decoding over the state protocol; knows no task and no family of models."""

from nlpx.decode.generate import Step, generate
from nlpx.decode.sampling import Sampling, choose, filter_logits

__all__ = ["Sampling", "Step", "choose", "filter_logits", "generate"]
