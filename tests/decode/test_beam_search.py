import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import jit

from nlpx.decode import Sampling, beam_search, generate
from nlpx.errors import InputError

PROMPT, TOKENS = 5, 9
GREEDY = Sampling(temperature=0.0)
EOS = {"lstm": 20, "transformer": 16, "window": 9}  # ends some of their texts early, some late, some never


def normalized(score, n, alpha):
    return score / ((5 + n) / 6) ** alpha


def by_hand(read, prompt, tokens, beams, eos, alpha):
    """Beam search in plain Python that never stops early: `read` gives the log-probabilities after each of some texts.
    Returns the best (score, text), the end token in the text."""
    live, done = [(0.0, ())], []
    for n in range(1, tokens + 1):
        gains = read([(*prompt, *text) for _, text in live]) if live else []
        every = [
            (score + gain, (*text, token))
            for (score, text), of_text in zip(live, gains, strict=True)
            for token, gain in enumerate(of_text)
            if gain > -np.inf
        ]
        kept = sorted(every, key=lambda hypothesis: -hypothesis[0])[:beams]
        done += [(normalized(score, n, alpha), text) for score, text in kept if text[-1] == eos]
        live = [hypothesis for hypothesis in kept if hypothesis[1][-1] != eos]
    done += [(normalized(score, tokens, alpha), text) for score, text in live]
    return sorted(done, key=lambda hypothesis: -hypothesis[0])[:beams]


def of_all(read, prompt, tokens, beams, eos, alpha):
    """The best of all texts there are."""
    every, texts = [], [(0.0, ())]
    for n in range(1, tokens + 1):
        gains = read([(*prompt, *text) for _, text in texts])
        longer = [
            (score + gain, (*text, token))
            for (score, text), of_text in zip(texts, gains, strict=True)
            for token, gain in enumerate(of_text)
            if gain > -np.inf
        ]
        texts = [(score, text) for score, text in longer if text[-1] != eos]
        over = longer if n == tokens else [(score, text) for score, text in longer if text[-1] == eos]
        every += [(normalized(score, n, alpha), text) for score, text in over]
    return sorted(every, key=lambda hypothesis: -hypothesis[0])[:beams]


def assert_found(found, row, expected, eos):
    """The hypotheses of one row are those expected, in their order."""
    for place, (score, text) in enumerate(expected):
        ended = text[-1] == eos
        assert found.lengths[row, place] == len(text) - ended
        filled = (*text, *[eos] * (found.tokens.shape[-1] - len(text)))
        assert tuple(found.tokens[row, place].tolist()) == filled
        np.testing.assert_allclose(found.scores[row, place], score, rtol=2e-5, atol=1e-5)
    assert (found.scores[row, len(expected) :] == -np.inf).all()


class Table:
    """Random logits that depend on the last two tokens; of these a state remembers the one before the last."""

    def __init__(self, vocab, seed=0, scale=2.0):
        self.vocab = vocab
        self.logits = np.random.default_rng(seed).normal(0, scale, (vocab, vocab, vocab)).astype(np.float32)

    def step(self, tokens, before, mask):
        before = jnp.concatenate([before[:, None], tokens[:, :-1]], axis=1)
        return jnp.asarray(self.logits)[before, tokens], tokens[:, -1]

    def read(self, texts):
        logits = np.stack([self.logits[text[-2], text[-1]] for text in texts]).astype(np.float64)
        return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

    def search(self, prompt, **options):
        prompt = jnp.asarray(prompt)
        begin = jnp.zeros(len(prompt), jnp.int32)
        return jax.device_get(jit(lambda: beam_search(self.step, begin, prompt, **options))())


def forked(log_probabilities, texts, eos):
    """Those of the texts' last tokens, all but the end token and two that the last token names at minus infinity."""
    vocab = log_probabilities.shape[-1]
    after = np.full((len(texts), vocab), -np.inf)
    for row, text in enumerate(texts):
        for token in {eos, (text[-1] + 3) % vocab, (5 * text[-1] + 1) % vocab}:
            after[row, token] = log_probabilities[row, len(text) - 1, token]
    return after


@pytest.mark.thorough(but=["transformer*"])
@pytest.mark.parametrize(("arch", "alpha"), [("lstm", 0.0), ("lstm", 1.0), ("transformer", 0.6)])
def test_with_room_for_all_texts_it_finds_the_best_of_all(writers, prompt, arch, alpha):
    """Three tokens may follow each, so that all the 24 texts of four tokens pass through beams as many as tokens."""
    writer, eos, tokens = writers(arch), EOS[arch], 4
    vocab = writer.vocab

    def step(read, state, mask):
        logits, state = writer.step(read, state, mask)
        ids = jnp.arange(vocab)
        follows = (ids == eos) | (ids == (read[..., None] + 3) % vocab) | (ids == (5 * read[..., None] + 1) % vocab)
        # What may not follow shares in no probability; the texts' own log-probabilities stay the model's.
        return jnp.where(follows, jax.nn.log_softmax(logits), -jnp.inf), state

    def read(texts):
        after = forked(writer.log_probabilities(texts), texts, eos)
        return after - np.log(np.exp(after).sum(axis=-1, keepdims=True))

    options = {"tokens": tokens, "beams": vocab, "eos": eos, "length_penalty": alpha}
    found = jax.device_get(jit(lambda p: beam_search(step, writer.state(p, tokens), p, **options))(prompt))
    assert found.tokens.shape == (3, vocab, tokens)
    for row in range(3):
        expected = of_all(read, prompt[row].tolist(), tokens, vocab, eos, alpha)
        assert len({len(text) for _, text in expected}) == 4
        assert_found(found, row, expected, eos)


@pytest.mark.parametrize(
    ("beams", "tokens", "alpha"), [(2, 12, -2.0), (2, 12, 0.6), (3, 9, 3.0), (5, 7, 0.0), (7, 6, 1.0)]
)
def test_stopping_early_changes_nothing(beams, tokens, alpha):
    """Against a search by hand that goes on to the last token, from every second token of a random table."""
    table = Table(7)
    prompt = np.array([[a, b] for a, b in itertools.product(range(7), range(0, 7, 2))], np.int32)
    found = table.search(prompt, tokens=tokens, beams=beams, eos=2, length_penalty=alpha)
    for row, start in enumerate(prompt.tolist()):
        assert_found(found, row, by_hand(table.read, start, tokens, beams, 2, alpha), 2)
    assert len(np.unique(found.lengths)) > 2


def as_transformers(read, prompt, tokens, beams, eos, alpha, early_stopping):
    """The beam search of transformers' generate in plain Python, one row: `beams` texts always live."""
    live, done = [(0.0, ())], []
    for n in range(1, tokens + 1):
        gains = read([(*prompt, *text) for _, text in live])
        every = [
            (score + gain, (*text, token))
            for (score, text), of_text in zip(live, gains, strict=True)
            for token, gain in enumerate(of_text)
        ]
        kept = sorted(every, key=lambda hypothesis: -hypothesis[0])[: 2 * beams]
        over = [text[-1] == eos or n == tokens for _, text in kept]
        done += [(score / n**alpha, text) for (score, text), ends in zip(kept[:beams], over, strict=False) if ends]
        done = sorted(done, key=lambda hypothesis: -hypothesis[0])[:beams]
        live = [hypothesis for hypothesis, ends in zip(kept, over, strict=True) if not ends][:beams]
        full = len(done) == beams
        if not live or (full and (early_stopping or live[0][0] / n**alpha <= done[-1][0])):
            break
    return done


@pytest.mark.thorough(but=["3-9*"])
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    ("beams", "tokens", "alpha"), [(1, 9, 1.0), (2, 12, 2.0), (3, 9, 0.5), (5, 7, 0.0), (7, 6, 1.0)]
)
def test_by_the_rules_of_transformers_it_is_that_search_by_hand(beams, tokens, alpha, early_stopping):
    table = Table(7)
    prompt = np.array([[a, b] for a, b in itertools.product(range(7), range(0, 7, 2))], np.int32)
    options = {"early_stopping": early_stopping, "rules": "transformers"}
    found = table.search(prompt, tokens=tokens, beams=beams, eos=2, length_penalty=alpha, **options)
    for row, start in enumerate(prompt.tolist()):
        assert_found(found, row, as_transformers(table.read, start, tokens, beams, 2, alpha, early_stopping), 2)
    assert len(np.unique(found.lengths)) > 2


def test_early_stopping_ends_a_row_with_as_many_texts_as_beams():
    """A live text that would win is not waited for."""
    table = Table(3)
    table.logits[2, 2], table.logits[2, 1], table.logits[1, 1] = (
        np.log(odds) for odds in ([0.5, 0.45, 0.05], [0.9, 0.1, 1e-9], [1e-9, 1.0, 1e-9])
    )
    options = {"tokens": 12, "beams": 2, "eos": 0, "length_penalty": 3.0}
    late, early = (table.search(np.array([[2, 2]], np.int32), early_stopping=stop, **options) for stop in (False, True))
    assert late.lengths[0].tolist() == [12, 1]
    assert early.lengths[0].tolist() == [1, 0]


@pytest.mark.parametrize("rules", ["wu", "transformers"])
def test_without_an_end_token_all_have_the_same_length(rules):
    table = Table(7)
    prompt = np.array([[1, 2], [3, 4]], np.int32)
    found = table.search(prompt, tokens=6, beams=3, eos=None, rules=rules)
    assert (found.lengths == 6).all()
    for row, start in enumerate(prompt.tolist()):
        alone = by_hand(table.read, start, 6, 3, -1, 0.6)  # where nothing ends, all live texts are the best
        assert [tuple(text) for text in found.tokens[row].tolist()] == [text for _, text in alone]


@pytest.mark.parametrize(
    ("alpha", "first", "second", "then", "best"),
    [
        # The unlikely text that goes on for ever wins at the last token: by its length.
        (3.0, [0.5, 0.45, 0.05], [0.9, 0.1, 1e-9], [1e-9, 1.0, 1e-9], (1,) * 12),
        # Where length is punished, what lives can still come second, but only by ending at once.
        (-2.0, [0.3, 0.6, 0.1], [0.3, 0.65, 0.05], [0.95, 0.04, 0.01], (0,)),
    ],
)
def test_it_does_not_stop_while_a_better_one_can_come(alpha, first, second, then, best):
    table = Table(3)
    table.logits[2, 2], table.logits[2, 1], table.logits[1, 1] = (np.log(odds) for odds in (first, second, then))
    found = table.search(np.array([[2, 2]], np.int32), tokens=12, beams=2, eos=0, length_penalty=alpha)
    expected = by_hand(table.read, [2, 2], 12, 2, 0, alpha)
    assert expected[0][1] == best
    assert any(len(text) > 2 for _, text in expected)
    assert_found(found, 0, expected, 0)


@pytest.mark.thorough(but=["window"])
@pytest.mark.parametrize("arch", EOS)
def test_with_a_cache_as_with_reading_everything_anew(writers, prompt, arch):
    writer, eos = writers(arch), EOS[arch]
    found = writer.search(prompt, beams=4, eos=eos, length_penalty=0.6)
    lengths = set()
    for row in range(3):

        def read(texts):
            after = writer.log_probabilities(texts)
            return np.stack([after[i, len(text) - 1] for i, text in enumerate(texts)])

        expected = by_hand(read, prompt[row].tolist(), TOKENS, 4, eos, 0.6)
        assert_found(found, row, expected, eos)
        lengths |= {len(text) for _, text in expected}
    assert len(lengths) > 1


@pytest.mark.parametrize(("arch", "alpha"), [("lstm", 4.0), ("transformer", -1.0)])
def test_one_beam_is_greedy(writers, prompt, arch, alpha):
    writer, eos = writers(arch), EOS[arch]
    greedy = writer.write(prompt, sampling=GREEDY, eos=eos)
    found = writer.search(prompt, beams=1, eos=eos, length_penalty=alpha)
    assert greedy.lengths.min() < TOKENS
    np.testing.assert_array_equal(found.tokens[:, 0], greedy.tokens)
    np.testing.assert_array_equal(found.lengths[:, 0], greedy.lengths)
    written = np.minimum(greedy.lengths + 1, TOKENS)
    np.testing.assert_allclose(found.scores[:, 0], normalized(greedy.scores, written, alpha), rtol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 1e-7], ids=["ties", "equal when rounded"])
def test_one_beam_is_greedy_among_equals(spread):
    """The lowest of equals; but no equals are those whose log-probabilities only round to the same number."""
    table = Table(9)
    table.logits = (np.round(table.logits / 2) * spread).astype(np.float32)
    prompt = np.array(list(itertools.product(range(9), range(9))), np.int32)
    keys = jax.random.split(jax.random.key(0), len(prompt))
    begin = jnp.zeros(len(prompt), jnp.int32)
    greedy = generate(table.step, begin, jnp.asarray(prompt), keys, tokens=8, sampling=GREEDY, eos=0)
    found = table.search(prompt, tokens=8, beams=1, eos=0)
    np.testing.assert_array_equal(found.tokens[:, 0], greedy.tokens)
    first = table.logits[prompt[:, 0], prompt[:, 1]]
    assert ((first == first.max(axis=1, keepdims=True)).sum(axis=1) > 1).any()


@pytest.mark.thorough(but=["lstm"])
@pytest.mark.parametrize("arch", EOS)
def test_a_row_does_not_depend_on_the_rows_beside_it_or_on_padding(writers, prompt, padded, arch):
    writer, lengths, order = writers(arch), (3, 5, 3), [2, 0, 1, 0]
    search = functools.partial(writer.search, beams=3, eos=EOS[arch])
    alone = [search(prompt[[row], :length]) for row, length in enumerate(lengths)]
    assert len(np.unique([of_row.lengths for of_row in alone])) > 1
    for side in ("left", "right"):
        together = search(*padded(prompt, lengths, order, side))
        for row, which in enumerate(order):
            np.testing.assert_array_equal(together.tokens[row], alone[which].tokens[0], err_msg=side)
            np.testing.assert_array_equal(together.lengths[row], alone[which].lengths[0], err_msg=side)
            np.testing.assert_allclose(together.scores[row], alone[which].scores[0], rtol=1e-5, err_msg=side)


class Countdown:
    """A step that counts down to token 0 with much certainty; it counts its turns, and gives NaN to a row that has
    turned `limit` times after the prompt."""

    def __init__(self, limit):
        self.turns, self.limit = [], limit

    def step(self, tokens, turn, mask):
        jax.debug.callback(lambda: self.turns.append(1))
        logits = 9 * jax.nn.one_hot(jnp.maximum(tokens - 1, 0), 8)
        return jnp.where((turn > jnp.asarray(self.limit))[:, None, None], jnp.nan, logits), turn + 1

    def search(self, **options):
        start = jnp.array([[2], [1], [4]])
        found = jax.jit(lambda: beam_search(self.step, jnp.zeros(3, jnp.int32), start, tokens=30, eos=0, **options))()
        jax.effects_barrier()
        return jax.device_get(found)


def test_it_stops_when_no_row_can_find_better_and_a_stopped_row_stays_as_it_is():
    """Without a length penalty and with two beams, the second end token within reach is the last turn of a row."""
    endless, countdown = Countdown([99, 99, 99]), Countdown([2, 1, 4])
    expected, found = (counter.search(beams=2, length_penalty=0.0) for counter in (endless, countdown))
    assert len(countdown.turns) == len(endless.turns) < 10
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    np.testing.assert_array_equal(found.lengths[:, 0], [1, 0, 3])
    assert np.isfinite(found.scores).all()
    one = Countdown([1, 0, 3])
    np.testing.assert_array_equal(one.search(beams=1).tokens[2, 0, :5], [3, 2, 1, 0, 0])
    assert len(one.turns) == 4  # the prompt, and three tokens of the longest


def test_a_state_that_overflows_shows_in_the_scores():
    found = Countdown([-1, 99, 99]).search(beams=2)
    assert np.isnan(found.scores[0]).any()
    assert np.isfinite(found.scores[1:]).all()


@pytest.mark.thorough
def test_a_state_with_less_room_than_it_needs_shows_in_the_scores(writers, prompt):
    """A row that has read a token before has no room for its last one."""
    writer = writers("transformer")
    _, state = writer.step(jnp.asarray(prompt[:, :1]), writer.state(prompt, 3), jnp.array([[True], [False], [False]]))
    found = beam_search(writer.step, state, jnp.asarray(prompt), tokens=3, beams=2, eos=None)
    np.testing.assert_array_equal(np.isnan(found.scores), [[True, True], [False, False], [False, False]])


def test_the_state_follows_its_hypothesis_whatever_its_shape():
    """The state is all that was written, and the next token its sum: a mixture of hypotheses would show."""
    vocab, tokens = 11, 6

    def step(read, state, mask):
        history, count = state
        for token in jnp.unstack(read, axis=1):
            history = jnp.where(jnp.arange(tokens + 2)[None] == count["n"][:, None], token[:, None], history)
            count = {"n": count["n"] + 1}
        of = (history * (1 + jnp.arange(tokens + 2))).sum(axis=1)
        return jnp.cos(jnp.arange(vocab) * (1.0 + of[:, None]))[:, None] * 2, (history, count)

    def read(texts):
        of = np.array([sum(token * (1 + i) for i, token in enumerate(text)) for text in texts])
        logits = np.cos(np.arange(vocab) * (1.0 + of[:, None]).astype(np.float32)) * 2
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    prompt = np.array([[3], [8]], np.int32)
    state = (jnp.zeros((2, tokens + 2), jnp.int32), {"n": jnp.zeros(2, jnp.int32)})
    found = jax.device_get(jit(lambda: beam_search(step, state, jnp.asarray(prompt), tokens=tokens, beams=4, eos=6))())
    for row in range(2):
        assert_found(found, row, by_hand(read, prompt[row].tolist(), tokens, 4, 6, 0.6), 6)


def test_what_a_step_closes_over_serves_all_beams():
    """A bias a row, as an encoder's memory: it need not be repeated, and each row sees its own."""
    table, bias = Table(6), np.random.default_rng(1).normal(0, 2, (3, 6)).astype(np.float32)
    prompt = np.array([[1, 2], [3, 4], [1, 2]], np.int32)

    def step(tokens, state, mask):
        logits, state = table.step(tokens, state, mask)
        return logits + jnp.asarray(bias)[:, None], state

    begin = jnp.zeros(3, jnp.int32)
    found = jax.device_get(jit(lambda: beam_search(step, begin, jnp.asarray(prompt), tokens=6, beams=3, eos=0))())
    for row in range(3):

        def read(texts, row=row):
            logits = np.log(np.exp(table.read(texts) + bias[row]))
            return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

        assert_found(found, row, by_hand(read, prompt[row].tolist(), 6, 3, 0, 0.6), 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"beams": 0}, "beams must be at least 1, not 0"),
        ({"beams": 8}, "beams 8 is more than the vocabulary's 7 tokens"),
        ({"tokens": 0}, "tokens must be at least 1, not 0"),
        ({"eos": 7}, "end token 7 is outside the vocabulary"),
        ({"eos": -1}, "end token -1 is outside the vocabulary"),
        ({"length_penalty": float("nan")}, "length_penalty"),
    ],
)
def test_what_cannot_be_searched_is_named(options, named):
    with pytest.raises(InputError, match=named):
        Table(7).search(np.zeros((1, 2), np.int32), **{"tokens": 3, "beams": 2, "eos": 0, **options})
