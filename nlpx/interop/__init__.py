"""Weights of other libraries' layers as ours, and back. PyTorch is imported only to make one of its modules."""

from nlpx.interop.flax_recurrent import rnn_from_flax, rnn_to_flax
from nlpx.interop.torch_recurrent import rnn_from_torch, rnn_to_torch

__all__ = ["rnn_from_flax", "rnn_from_torch", "rnn_to_flax", "rnn_to_torch"]
