"""nlpx: the road from RNN to Transformer in JAX, each step of it measured.

Import what you use from the rooms: `nlpx.ops` (pure functions), `nlpx.layers` and `nlpx.models` (Flax Linen
modules), `nlpx.text`, `nlpx.data`, `nlpx.train`, `nlpx.decode`, `nlpx.interop`, `nlpx.plots`. Importing nlpx changes no
global JAX setting and imports nothing heavy, so that entry points can answer `--help` at once.
"""

__version__ = "0.1.0"
