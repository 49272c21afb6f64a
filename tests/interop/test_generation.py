"""What GPT-2 writes, against generate of transformers: random checkpoints that it wrote itself: a tiny one, and (slow)
one of twelve layers and one of GPT-2 small's shape."""

from dataclasses import replace

import numpy as np
import pytest

from nlpx.decode import Sampling
from nlpx.interop.huggingface import end_tokens, load
from nlpx.predict import Trained, Writer, text_perplexity
from nlpx.text import ByteTokenizer, CharTokenizer

EOS, POSITIONS = 46, 256
GREEDY = Sampling(temperature=0.0)
TINY = {"n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 256}
DEEP = {"n_layer": 12, "n_embd": 128, "n_head": 4, "vocab_size": 256}
SMALL = {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257}
LETTERS = {vocab_size: CharTokenizer("".join(map(chr, range(vocab_size)))) for vocab_size in (256, 50257)}
PROMPTS = ["To be, or not", "a", "The road from RNN to Transformer is long"]


@pytest.fixture(params=[pytest.param(TINY, id="tiny"), pytest.param(DEEP, id="deep", marks=pytest.mark.slow)])
def gpt2(request, transformers, torch, tmp_path):
    """Theirs, and ours with characters as tokens. Weights this large make it write much, not one token for ever."""
    ends = {"bos_token_id": None, "eos_token_id": EOS, "pad_token_id": 0}
    config = transformers.GPT2Config(n_positions=POSITIONS, **request.param, **ends)
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            scale, kernel = ".ln_" in name and name.endswith("weight"), ".h." in name and parameter.ndim == 2
            spread = 0.3 * (32 / config.n_embd) ** 0.5 if kernel else 1.5 if "wpe" in name else 0.3
            parameter.normal_(1.0 if scale else 0.0, spread)
    theirs.save_pretrained(tmp_path)
    model, variables, _ = load(tmp_path)
    assert end_tokens(tmp_path, config.vocab_size) == (None, EOS)
    return theirs, Trained(model, variables["params"], LETTERS[config.vocab_size], {}, 0)


def theirs_written(model, torch, texts, **options):
    """What they write after prompts of several lengths, padded on the left in one batch."""
    letters = LETTERS[model.config.vocab_size]
    rows = [letters.encode(text).tolist() for text in texts]
    width = max(map(len, rows))
    tokens = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    written = model.generate(tokens, attention_mask=mask, pad_token_id=EOS, do_sample=False, **options)
    return [letters.decode(row) for row in written[:, width:].tolist()]


def before_end(text, end):
    return text.partition(end)[0]


@pytest.mark.parity
@pytest.mark.parametrize(
    ("gpt2", "penalty"),
    [
        pytest.param(TINY, 1.0, id="tiny"),
        pytest.param(TINY, 1.4, id="tiny-penalty"),
        pytest.param(DEEP, 1.4, id="deep-penalty", marks=pytest.mark.slow),
        pytest.param(SMALL, 1.0, id="small", marks=pytest.mark.slow),
    ],
    indirect=["gpt2"],
)
def test_200_greedy_tokens_are_those_of_transformers(gpt2, torch, penalty):
    theirs, ours = gpt2
    writer = Writer(ours, GREEDY, repetition_penalty=penalty)
    # Their penalty counts padding as tokens of the text: one prompt at a time has none.
    batches = [PROMPTS] if penalty == 1 else [[prompt] for prompt in PROMPTS]
    for prompts in batches:
        expected = theirs_written(
            theirs, torch, prompts, max_new_tokens=200, repetition_penalty=penalty, eos_token_id=None
        )
        *_, texts = writer.stream(prompts, tokens=200, piece=67)
        assert texts == expected
        assert all(len(text) == 200 and len(set(text)) > 20 for text in texts)


@pytest.mark.parity
def test_texts_end_where_theirs_do(gpt2, torch):
    theirs, ours = gpt2
    end = theirs_written(theirs, torch, PROMPTS, max_new_tokens=40, eos_token_id=None)[0][39]  # a token that comes
    written = theirs_written(theirs, torch, PROMPTS, max_new_tokens=120, eos_token_id=ord(end))
    expected = [before_end(text, end) for text in written]
    texts = Writer(ours, GREEDY, end=ord(end))(PROMPTS, tokens=120)
    assert texts == expected
    assert len({len(text) for text in texts}) > 1


@pytest.mark.parity
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("length_penalty", [0.5, 1.0, 2.0])
def test_beam_search_is_that_of_transformers(gpt2, torch, length_penalty, early_stopping):
    theirs, ours = gpt2
    options = {"num_beams": 4, "max_new_tokens": 40, "early_stopping": early_stopping, "length_penalty": length_penalty}
    end = theirs_written(theirs, torch, PROMPTS, eos_token_id=None, **options)[0][9]  # a token that comes
    expected = theirs_written(theirs, torch, PROMPTS, eos_token_id=ord(end), **options)
    size = {"tokens": 40, "beams": 4, "early_stopping": early_stopping, "length_penalty": length_penalty}
    texts = Writer(ours, end=ord(end)).search(PROMPTS, **size)
    assert texts == [before_end(text, end) for text in expected]
    assert min(map(len, texts)) < 40


@pytest.mark.parity
@pytest.mark.parametrize("stride", [None, 100])
def test_perplexity_is_that_of_their_sliding_window(gpt2, torch, stride):
    """https://huggingface.co/docs/transformers/perplexity, written out with sums instead of means of means."""
    theirs, ours = gpt2
    text = "".join(np.random.default_rng(0).choice(list("abc é\n"), 700))
    ids, step, before, total, count = torch.tensor([list(text.encode())]), stride or POSITIONS // 2, 0, 0.0, 0
    for begin in range(0, ids.shape[1], step):
        end = min(begin + POSITIONS, ids.shape[1])
        labels = ids[:, begin:end].clone()
        labels[:, : before - begin] = -100
        counted = int((labels[:, 1:] != -100).sum())
        with torch.no_grad():
            total += float(theirs(ids[:, begin:end], labels=labels).loss) * counted
        count, before = count + counted, end
        if end == ids.shape[1]:
            break
    found = text_perplexity(replace(ours, tokenizer=ByteTokenizer()), text, stride=stride)
    assert (found.tokens, found.window, found.stride) == (count, POSITIONS, step)
    np.testing.assert_allclose(found.nats, total, rtol=1e-5)
    np.testing.assert_allclose(found.bits_per_byte, total / (len(text.encode()) - 1) / np.log(2), rtol=1e-5)
