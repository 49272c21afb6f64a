import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import generate
from experiments.language_model import load
from nlpx.decode import Sampling


@pytest.fixture(scope="module")
def model(trained):
    """One whose next letter depends on where it stands; the trained one writes the commonest letter again and again."""
    loaded = load(trained)
    table = loaded.params["position"]["table"]
    loaded.params["position"]["table"] = 2 * jax.random.normal(jax.random.key(0), table.shape)
    return loaded


@pytest.fixture
def written(command, trained, capsys):
    def write(*flags):
        capsys.readouterr()
        assert command(generate, ["--workdir", trained, *flags]) == 0
        return capsys.readouterr().out

    return write


def test_text_goes_on_from_the_prompt_and_the_seed_decides_it(written):
    flags = ("--prompt", "The ", "--tokens", "12", "--temperature", "2")
    text = written(*flags, "--seed", "1")
    assert text.startswith("The ")
    assert len(text) == len("The ") + 12 + 1
    assert written(*flags, "--seed", "1") == text
    assert written(*flags, "--seed", "2") != text


def test_a_min_p_of_one_leaves_the_likeliest_only(written):
    flags = ("--prompt", "The ", "--tokens", "12", "--temperature")
    assert written(*flags, "2", "--min-p", "1") == written(*flags, "0")


def test_the_latest_checkpoint_can_be_asked_for(written, trained, monkeypatch):
    asked = []
    monkeypatch.setattr("experiments.language_model.load", lambda workdir, *, best: asked.append(best) or load(workdir))
    written("--tokens", "1")
    written("--tokens", "1", "--checkpoint", "latest")
    assert asked == [True, False]


def test_samples_are_written_one_after_the_other(written):
    texts = written("--prompt", "The ", "--tokens", "12", "--samples", "3", "--temperature", "2").split("\n\n----\n\n")
    assert len(set(texts)) == 3
    assert all(text.startswith("The ") for text in texts)
    greedy = written("--prompt", "The ", "--tokens", "12", "--samples", "2", "--temperature", "0")
    assert len(set(greedy.rstrip("\n").split("\n\n----\n\n"))) == 1


@pytest.mark.parametrize("prompt", ["The ", "The " * 6, "The " * 4])
def test_beyond_the_learned_positions_it_goes_on_from_the_latter_half(model, prompt):
    """Against the same written out with full re-computation: 16 positions, all read anew for each token."""
    read = jax.jit(lambda tokens: model.model.apply({"params": model.params}, tokens)[0])
    tokens = list(model.tokenizer.encode(prompt))
    start = 0
    for _ in range(40):
        if len(tokens) - start >= 16:
            start = len(tokens) - 8
        window = tokens[start:]
        padded = jnp.asarray([window + [0] * (16 - len(window))], jnp.int32)
        tokens.append(int(np.argmax(read(padded)[0, len(window) - 1])))
    (text,) = generate.write(model, prompt, tokens=40, samples=1, sampling=Sampling(0.0), seed=0)
    assert text == model.tokenizer.decode(tokens)[len(prompt) :]
    assert len(set(text)) > 2
