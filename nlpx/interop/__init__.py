"""Conversion of recurrent weights from and to other libraries, GPT-2 and BERT from and to Hugging Face's folders
(`nlpx.interop.huggingface`), and parameters as safetensors. PyTorch is imported only to make one of its modules."""

from nlpx.interop import huggingface
from nlpx.interop.flax_recurrent import rnn_from_flax, rnn_to_flax
from nlpx.interop.safetensors import load_safetensors, save_safetensors
from nlpx.interop.torch_recurrent import rnn_from_torch, rnn_to_torch

__all__ = [
    "huggingface",
    "load_safetensors",
    "rnn_from_flax",
    "rnn_from_torch",
    "rnn_to_flax",
    "rnn_to_torch",
    "save_safetensors",
]
