import gc
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from nlpx.errors import InputError
from nlpx.train.checkpoint import Checkpoints, checksum
from nlpx.train.step import TrainState

# Orbax reads all arrays at once and tells of one that fails; the others are heard of when memory is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def hear_of_them_here():
    gc.freeze()  # what a test makes, not the gigabytes that the tests before it left, is looked through
    yield
    gc.collect()
    gc.unfreeze()


def make_state(step):
    """A state of every kind of leaf, whose values the step decides."""
    rng = np.random.default_rng(step)
    return TrainState(
        step=jnp.array(step, jnp.int32),
        params={"kernel": jnp.asarray(rng.normal(size=(30, 40)), jnp.float32), "bias": jnp.full(3, step, jnp.bfloat16)},
        opt_state=({"kernel": jnp.asarray(rng.normal(size=(30, 40)), jnp.float32)}, jnp.array(step + 1)),
        carry=(),
        key=jax.random.key(step),
    )


def assert_bitwise(actual, expected):
    def same(a, b):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)

    jax.tree.map(same, actual, expected)


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path)
    yield opened
    opened.close()


def saved_steps(tmp_path):
    return sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdecimal())


def save(checkpoints, steps, losses=None):
    for step in steps:
        checkpoints.save(make_state(step), {"at": step}, losses[step] if losses else 1 / step)
    checkpoints.wait()


def test_without_a_checkpoint_there_is_nothing_to_restore(checkpoints):
    assert checkpoints.restore(make_state(0)) is None
    with pytest.raises(InputError, match="holds no checkpoint yet"):
        checkpoints.restore_params(make_state(0).params)


def test_what_is_restored_is_bitwise_what_was_saved(checkpoints):
    save(checkpoints, [3])
    restored = checkpoints.restore(make_state(0))
    assert_bitwise(restored.state, make_state(3))
    assert (restored.meta, restored.damaged) == ({"at": 3}, [])


def test_later_changes_do_not_reach_what_is_being_saved(checkpoints):
    """Storage writes while the run goes on: the arrays are given away to the next step, the sums are added to."""
    give_away = jax.jit(lambda state: jax.tree.map(lambda x: x * 2, state), donate_argnums=0)
    for step in range(1, 9):
        state, sums = make_state(step), {"loss": float(step)}
        checkpoints.save(state, {"sums": sums}, 1.0)
        sums["loss"] = -1.0
        give_away(state.params)
        checkpoints.wait()
        restored = checkpoints.restore(make_state(0))
        assert_bitwise(restored.state, make_state(step))
        assert restored.meta["sums"] == {"loss": step}


def test_the_latest_two_and_the_best_are_kept(checkpoints, tmp_path):
    save(checkpoints, range(1, 7), losses={1: 5.0, 2: 2.0, 3: 3.0, 4: float("inf"), 5: 4.0, 6: 4.5})
    assert saved_steps(tmp_path) == [2, 5, 6]
    for best, step in ((True, 2), (False, 6)):
        params, found, damaged = checkpoints.restore_params(make_state(0).params, best=best)
        assert (found, damaged) == (step, [])
        assert_bitwise(params, make_state(step).params)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("first", "second", "shard"),
    [
        pytest.param("data=4", "data=2,model=2", (8, 16), marks=pytest.mark.slow),
        ("fsdp=4", "data=2,fsdp=2,model=2", (4, 16)),
        pytest.param("data=2,fsdp=2,model=2", "data=1", (8, 32), marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_over_another_mesh(checkpoints, make_engine, make_batches, monkeypatch, first, second, shard):
    monkeypatch.setattr("nlpx.train.sharding.SMALL", 32)
    batch = make_batches(1)[0]
    engine, other = (
        make_engine("transformer", model={"layers": 1}, optimizer="adamw", mesh=mesh) for mesh in (first, second)
    )
    state, _ = engine.train_step(engine.init(), engine.put(batch))
    checkpoints.save(state, {}, 1.0)
    checkpoints.wait()
    restored = checkpoints.restore(other.init()).state
    assert_bitwise(jax.device_get(restored.params), jax.device_get(state.params))
    assert_bitwise(jax.device_get(restored.opt_state), jax.device_get(state.opt_state))
    for tree in (restored.params, *(part.mu for part in restored.opt_state if hasattr(part, "mu"))):
        up = tree["backbone"]["stack_0"]["feed_forward"]["up"]["kernel"]
        assert up.sharding.shard_shape(up.shape) == shard
    other.train_step(restored, other.put(batch))


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def truncate(folder):
    path = largest_file(folder / "params")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(folder):
    path = largest_file(folder / "rest")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def lose_the_meta_data(folder):
    (folder / "meta" / "metadata").unlink()


def lose_the_parameters(folder):
    shutil.rmtree(folder / "params")


def lose_all(folder):
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES = [truncate, flip_a_bit, lose_the_meta_data, lose_the_parameters, lose_all]


def damaged(tmp_path, damage):
    """The checkpoints 1, whole, and 2, damaged, as a new process finds them."""
    first = Checkpoints(tmp_path)
    save(first, [1, 2])
    first.close()
    damage(tmp_path / "checkpoints" / "2")
    return Checkpoints(tmp_path)


MORE = (lose_the_meta_data, lose_the_parameters)


@pytest.mark.parametrize(
    "damage", [pytest.param(damage, marks=[pytest.mark.slow] * (damage in MORE)) for damage in DAMAGES]
)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_used(tmp_path, damage):
    checkpoints = damaged(tmp_path, damage)
    restored = checkpoints.restore(make_state(0))
    assert_bitwise(restored.state, make_state(1))
    assert (restored.meta, restored.damaged) == ({"at": 1}, [2])
    assert saved_steps(tmp_path) == [1]
    assert [path.name for path in (tmp_path / "damaged-checkpoints").iterdir()] == ["2"]
    save(checkpoints, [2, 3])  # its step can be saved again
    assert saved_steps(tmp_path) == [2, 3]
    assert_bitwise(checkpoints.restore(make_state(0)).state, make_state(3))
    checkpoints.close()


def test_damaged_twice_both_are_set_aside(tmp_path):
    for _ in range(2):
        checkpoints = damaged(tmp_path, truncate)
        assert checkpoints.restore(make_state(0)).damaged == [2]
        checkpoints.close()
        shutil.rmtree(tmp_path / "checkpoints")
    assert sorted(path.name for path in (tmp_path / "damaged-checkpoints").iterdir()) == ["2", "2-1"]


@pytest.mark.parametrize("best", [True, False])
def test_parameters_of_the_one_before_do_for_use(tmp_path, best):
    checkpoints = damaged(tmp_path, lose_the_parameters)
    params, step, unreadable = checkpoints.restore_params(make_state(0).params, best=best)
    checkpoints.close()
    assert (step, unreadable) == (1, [2])
    assert_bitwise(params, make_state(1).params)
    assert saved_steps(tmp_path) == [1, 2]  # reading moves nothing


def test_with_all_damaged_there_is_no_going_on(tmp_path):
    checkpoints = damaged(tmp_path, truncate)
    truncate(tmp_path / "checkpoints" / "1")
    lose_the_parameters(tmp_path / "checkpoints" / "2")
    for restore in (checkpoints.restore, lambda like: checkpoints.restore_params(like.params)):
        with pytest.raises(InputError, match=r"none of the checkpoints in .* can be read") as error:
            restore(make_state(0))
        assert "\n" not in str(error.value)
    checkpoints.close()
    assert saved_steps(tmp_path) == [1, 2]


@pytest.mark.parametrize("name", ["metrics/metrics", "_CHECKPOINT_METADATA"])
def test_files_that_hold_no_state_may_be_lost(tmp_path, name):
    checkpoints = damaged(tmp_path, lambda folder: (folder / name).unlink())
    assert_bitwise(checkpoints.restore(make_state(0)).state, make_state(2))
    save(checkpoints, [3, 4, 5])
    assert_bitwise(checkpoints.restore(make_state(0)).state, make_state(5))
    checkpoints.close()


@pytest.mark.parametrize("content", ["[1]", '{"loss": "low"}'])
def test_damaged_metrics_are_no_best_loss(tmp_path, content):
    checkpoints = damaged(tmp_path, lambda folder: (folder / "metrics" / "metrics").write_text(content))
    assert checkpoints.restore_params(make_state(0).params)[1] == 1
    checkpoints.close()


def test_metrics_that_are_no_json_are_named(tmp_path):
    with pytest.raises(InputError, match=r"a checkpoint in .*checkpoints are damaged \(.*\): delete that file"):
        damaged(tmp_path, lambda folder: (folder / "metrics" / "metrics").write_text("{"))


def test_what_a_kill_left_of_a_save_is_no_checkpoint(tmp_path):
    left = tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp"
    checkpoints = damaged(tmp_path, lambda folder: shutil.copytree(folder, left))
    restored = checkpoints.restore(make_state(0))
    assert (int(restored.state.step), restored.damaged) == (2, [])
    save(checkpoints, [3])
    assert_bitwise(checkpoints.restore(make_state(0)).state, make_state(3))
    checkpoints.close()


@pytest.mark.thorough(but=["shape2-float32", "shape1*"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "bool", "uint32"])
@pytest.mark.parametrize("shape", [(), (3,), (8, 6), (2, 4, 3)])
def test_a_checksum_sees_every_bit_and_no_sharding(dtype, shape):
    rng = np.random.default_rng(0)
    array = jnp.asarray(rng.integers(0, 2, shape)).astype(dtype)
    expected = checksum({"a": array, "b": jnp.full(3, 5.0)})
    assert expected != checksum({"a": jnp.full(3, 5.0), "b": array})
    words = np.array(array).reshape(-1).view(np.uint8)
    for place in range(words.size):
        for bit in range(8):
            words[place] ^= 1 << bit
            flipped = words.view(array.dtype).reshape(shape)
            assert checksum({"a": flipped, "b": jnp.full(3, 5.0)}) != expected, (place, bit)
            words[place] ^= 1 << bit
    mesh = jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    for axis in range(len(shape)):
        if shape[axis] % 2 == 0:
            spread = jax.device_put(array, NamedSharding(mesh, P(*(None,) * axis, "x")))
            assert checksum({"a": spread, "b": jnp.full(3, 5.0)}) == expected
    assert checksum({"a": np.array(array), "b": np.full(3, 5.0, np.float32)}) == expected
