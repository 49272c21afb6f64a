"""How deep in a model each parameter lies: what the rates of layers and the order of unfreezing go by."""

import re
from typing import Any

import jax
import optax

from nlpx.train.sharding import path_of

STACK = r"(lora/)?(backbone|encoder|decoder(/rnn)?)/"
BOTTOM = r"(lora/)?((segment_|source_)?embedding/(table|projection)|(source_|target_)?position/|spelling/|picture/)"


def depths(params: Any) -> dict[str, int]:
    """Number the layers from the bottom, and return that of each parameter, by path.

    0 are embeddings, positions and what else reads the input; n + 1 is block n of a stack, with what stands behind the
    last block, such as a norm, at that block's; the head and all the rest are at the top. Blocks of an encoder and of a
    decoder are numbered alike.
    """
    paths = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    blocks = {path: re.match(rf"{STACK}(stack|reversed)_(\d+)/", path) for path in paths}
    last = max((1 + int(block[5]) for block in blocks.values() if block), default=0)

    def depth(path: str) -> int:
        if block := blocks[path]:
            return 1 + int(block[5])
        if re.match(BOTTOM, path) or "embedding_norm/" in path:
            return 0
        return last if re.match(STACK, path) else last + 1

    return {path: depth(path) for path in paths}


def scale_by_depth(params: Any, decay: float) -> optax.GradientTransformation:
    """Multiply each layer's updates by `decay` once for each layer above it: lower layers learn slower (Howard 2018,
    arXiv 1801.06146, section 3.2, where a layer's rate is that of the next one divided by 2.6).

    Args:
      params: those of the whole model, or their shapes.
      decay: in (0, 1].
    """
    at = depths(params)
    top = max(at.values())

    def scale(updates, _):
        return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf * decay ** (top - at[path_of(path)]), updates)

    return optax.stateless(scale)


def stages(params: Any, trained: frozenset[str]) -> list[frozenset[str]]:
    """Return, for each stage of gradual unfreezing, the paths that wait for a later one: at first all but the topmost
    layer's, then all but the two topmost layers', and at last none (Howard 2018, section 3.3).

    Args:
      trained: the paths that are trained in the end; a layer without one has no stage.
    """
    at = {path: depth for path, depth in depths(params).items() if path in trained}
    return [frozenset(path for path in at if at[path] < depth) for depth in sorted(set(at.values()), reverse=True)]
