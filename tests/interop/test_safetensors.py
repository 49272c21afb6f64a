import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from safetensors.numpy import load_file, save_file

from nlpx.errors import InputError
from nlpx.interop import load_safetensors, save_safetensors
from nlpx.interop.safetensors import DTYPES

ONES = np.ones(2, np.float32)


def bits(leaf):
    return str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()


@st.composite
def random_arrays(draw):
    """Any bits, NaNs of all kinds among them, in rows or in columns."""
    dtype = jnp.dtype(draw(st.sampled_from(sorted(DTYPES.values()))))
    shape = draw(st.sampled_from([(), (0, 3), (3,), (2, 3)]))
    size = int(np.prod(shape)) * dtype.itemsize
    content = bytes(each % 2 if dtype.kind == "b" else each for each in draw(st.binary(min_size=size, max_size=size)))
    return np.frombuffer(content, dtype).reshape(shape).T


keys = st.text("aé_0 /", max_size=2)
trees = st.dictionaries(
    keys, random_arrays() | st.dictionaries(keys, random_arrays(), min_size=1, max_size=2), max_size=3
)


@given(params=trees)
def test_what_is_read_is_bit_by_bit_what_was_written(tmp_path_factory, params):
    path = tmp_path_factory.mktemp("new") / "folder" / "params.safetensors"
    save_safetensors(params, path)
    assert jax.tree.map(bits, load_safetensors(path)) == jax.tree.map(bits, params)


def test_other_libraries_read_it_and_its_metadata(tmp_path):
    params = {"layer": {"0": {"kernel": ONES}}, "bias": np.float32(3)}
    save_safetensors(params, tmp_path / "a", metadata={"été": "1"})
    assert load_file(tmp_path / "a").keys() == {"layer.0.kernel", "bias"}
    content = (tmp_path / "a").read_bytes()
    assert json.loads(content[8 : 8 + content[0]])["__metadata__"] == {"été": "1"}


def test_arrays_spread_over_devices_are_fetched(tmp_path):
    rows = NamedSharding(jax.make_mesh((8,), ("data",)), P("data"))
    table = np.arange(16, dtype=np.float32).reshape(8, 2)
    save_safetensors({"table": jax.device_put(table, rows)}, tmp_path / "a")
    np.testing.assert_array_equal(load_safetensors(tmp_path / "a")["table"], table)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a.b": ONES}, "the key 'a.b', but keys have to be texts without a dot"),
        ({"a": {1: ONES}}, "the key 1, but"),
        ({"a": {"b": {}}}, "no array in a.b: leave it out"),
        ({"a": [ONES]}, "a in params is a list, which safetensors cannot hold"),
        ({"a": {"b": np.ones(2, complex)}}, "a.b in params is complex128"),
        ({"key": jax.random.key(0)}, "key in params is key<fry>"),
        ({"__metadata__": ONES}, "has an array __metadata__"),
    ],
)
def test_what_a_file_cannot_hold_is_named(tmp_path, params, message):
    with pytest.raises(InputError, match=message):
        save_safetensors(params, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_files_that_cannot_be_used_are_named(tmp_path):
    save_file({"a.b": ONES, "a.b.c.d": ONES, "a": ONES}, tmp_path / "both")
    save_safetensors({"a": ONES}, tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:-1])
    (tmp_path / "four").write_bytes(
        (tmp_path / "whole").read_bytes().replace(b'"F32","shape":[2]', b'"F4","shape":[16]')
    )
    save_file({"empty": np.ones((0,) * 64, np.int8)}, tmp_path / "axes")
    content = (tmp_path / "axes").read_bytes()
    header = content[8:].replace(b'"shape":[0,', b'"shape":[0,0,').strip()
    (tmp_path / "axes").write_bytes(len(header).to_bytes(8, "little") + header)
    for name, message in {
        "axes": "empty in .*axes has a shape that NumPy lacks, of 65 axes",
        "none": "no file .*none; give",
        ".": "cannot read .*: Is a directory",
        "half": r"half is damaged, or no file of safetensors \(.*\); fetch",
        "both": "both has the arrays a and a.b, one inside the other",
        "four": "a in .*four is F4, a dtype that NumPy lacks",
    }.items():
        with pytest.raises(InputError, match=message):
            load_safetensors(tmp_path / name)
    with pytest.raises(InputError, match="cannot write"):
        save_safetensors({"a": ONES}, tmp_path)
