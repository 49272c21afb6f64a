"""Continuing texts with a language model."""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int32

from nlpx.decode import (
    Sampling,
    SeenState,
    beam_search,
    check_stops,
    cut_at_stop,
    extend,
    penalize_repetition,
    settled,
)
from nlpx.errors import InputError
from nlpx.text import Tokenizer
from nlpx.train.run import Trained


class Writer:
    """Writes continuations of texts with a trained language model. Calls with the same sizes share compiled programs.

    A model with learned positions can look back no further than it has positions. When they are used up, it reads the
    tokens of their latter half again, from position 0, and goes on from there. Tokens that stand for unknown text, such
    as `<unk>`, are never written, nor are those beyond the tokenizer's vocabulary.

    Args:
      trained: a language model, from a run or from `load_language_model`.
      sampling: how the next token is chosen.
      repetition_penalty: see `nlpx.decode.penalize_repetition`; 1 changes nothing.
      begin: the token that stands before an empty prompt; None: a prompt must have a token.
      end: the token that ends a text; None: there is none.
      stops: strings that end a text, and are not in it.

    Attributes:
      written: the tokens that were kept, over all texts of all calls.

    Raises:
      ValueError: a penalty that is not above 0, or an empty stop string.
    """

    def __init__(
        self,
        trained: Trained,
        sampling: Sampling = Sampling(),  # noqa: B008 - frozen
        *,
        repetition_penalty: float = 1.0,
        begin: int | None = None,
        end: int | None = None,
        stops: Sequence[str] = (),
    ):
        self._trained, model = trained, trained.model
        self._first, self._end, self._stops, self.written = begin, end, tuple(stops), 0
        check_stops(self._stops)
        beyond = range(trained.tokenizer.vocab_size, model.vocab_size)
        never = [*trained.tokenizer.unspellable, *beyond]

        def step_of(params):
            def step(tokens, state, mask):
                logits, state = model.apply({"params": params}, tokens, state=state, mask=mask, last=True)
                return logits.at[..., np.array(never)].set(-jnp.inf) if never else logits, state

            return penalize_repetition(step, repetition_penalty)

        def fresh(params, seen, capacity):
            return SeenState(model.apply({"params": params}, len(seen), capacity, method="initial_state"), seen)

        def begin_(params, seen, prompt, mask, keys, before, tokens, capacity):
            return go_on(params, fresh(params, seen, capacity), prompt, mask, keys, before, tokens)

        def go_on(params, state, prompt, mask, keys, before, tokens):
            options = {"tokens": tokens, "sampling": sampling, "mask": mask, "eos": end, "before": before}
            new, state = extend(step_of(params), state, prompt, keys, **options)
            return new.tokens, new.lengths, state  # no scores: XLA then leaves out what they alone need

        def search(params, seen, prompt, mask, tokens, capacity, beams, length_penalty, early_stopping):
            options = {"beams": beams, "length_penalty": length_penalty, "early_stopping": early_stopping}
            options |= {"tokens": tokens, "eos": end, "mask": mask, "rules": "transformers"}
            found = beam_search(step_of(params), fresh(params, seen, capacity), prompt, **options)
            return jax.tree.map(lambda leaf: leaf[:, 0], found)

        penalize_repetition(lambda *_: None, repetition_penalty)  # checks it, here and not at the first text
        self._begin = jax.jit(begin_, static_argnums=(6, 7))
        self._go_on = jax.jit(go_on, static_argnums=6, donate_argnums=1)  # one cache, not two at every token
        self._search = jax.jit(search, static_argnums=(4, 5, 6, 7, 8))

    def encode(self, prompt: str) -> Int32[np.ndarray, " t"]:
        """Return the tokens of a prompt.

        Raises:
          ValueError: an empty prompt where no token begins a text, one with characters outside the vocabulary, or one
            without any known word.
        """
        tokenizer = self._trained.tokenizer
        ids = tokenizer.encode(prompt)
        if not len(ids) and self._first is not None:
            return np.array([self._first], np.int32)
        if not len(ids):
            raise InputError("the text to go on from is empty: give at least one token")
        if np.isin(ids, tokenizer.unspellable).all():
            raise InputError(f"the model knows no word of {prompt[:60]!r}: give a text with words it was trained on")
        return ids

    def stream(
        self, prompts: Sequence[str], *, tokens: int = 200, seed: int = 0, piece: int | None = None
    ) -> Iterator[list[str]]:
        """Yield the continuations so far, each time after at most `piece` more tokens, as one batch.

        Continuations come without the prompt, ready to be appended to it. With a word tokenizer they begin with a
        space, unless the prompt ends with white space. For words of the prompt that the model does not know, see
        `Tokenizer.unknown_words`. A continuation depends on its prompt and its place among the prompts alone.

        Args:
          prompts: of any lengths; the same one several times gives several samples.
          piece: tokens written at a time; None means all at once. The texts do not depend on it.

        Raises:
          ValueError: no prompts, a size below 1, or as in `encode`.
        """
        if isinstance(prompts, str):  # whose characters would be the prompts
            raise InputError("prompts is one text: give a list of them")
        piece = tokens if piece is None else piece
        for name, value in (("tokens", tokens), ("the number of prompts", len(prompts)), ("piece", piece)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        model, params = self._trained.model, self._trained.params
        rows = [self.encode(prompt) for prompt in prompts]
        lengths, starts, texts = [len(row) for row in rows], [0] * len(rows), [""] * len(rows)
        going, written, room = [True] * len(rows), 0, 0
        keys = jax.vmap(lambda row: jax.random.fold_in(jax.random.key(seed), row))(jnp.arange(len(rows)))
        longest = model.longest or max(lengths) + tokens
        seen = jnp.zeros((len(rows), model.vocab_size), bool)
        state = last = None
        while written < tokens and any(going):
            if room < 1:  # read the prompts, or, of a row that has used up all positions, the latter half of them
                for number, row in enumerate(rows):
                    if len(row) - starts[number] >= longest:
                        starts[number] = len(row) - max(longest // 2, 1)
                read, mask = padded([row[start:] for row, start in zip(rows, starts, strict=True)])
                capacity = min(read.shape[1] + tokens - written, longest)
                room = max(1, capacity - read.shape[1])
                count = min(piece, room, tokens - written)
                inputs = (seen if state is None else state.seen, read, mask, keys, written)
                ids, counts, state = self._begin(params, *inputs, count, capacity)
            else:
                count = min(piece, room, tokens - written)
                ids, counts, state = self._go_on(params, state, last, None, keys, written, count)
            last, room, written = ids[:, -1:], room - count, written + count
            done = written == tokens
            for number, (new, length) in enumerate(zip(np.asarray(ids), np.asarray(counts), strict=True)):
                if not going[number]:
                    continue
                rows[number] = np.concatenate([rows[number], new[:length]])
                self.written += int(length)
                text = self._text(prompts[number], lengths[number], rows[number])
                text, stopped = cut_at_stop(text, self._stops)
                going[number] = not (stopped or length < count)
                texts[number] = settled(text, self._stops) if going[number] and not done else text
            yield list(texts)

    def search(
        self,
        prompts: Sequence[str],
        *,
        beams: int,
        tokens: int = 200,
        length_penalty: float = 1.0,
        early_stopping: bool = False,
    ) -> list[str]:
        """Return the best continuation of each prompt that beam search finds, as one batch.

        It is that of `generate(num_beams=...)` of transformers: see `nlpx.decode.beam_search` and its other rules.

        Raises:
          ValueError: a prompt and `tokens` together beyond the model's positions, or as in `stream` and `beam_search`.
        """
        model = self._trained.model
        rows = [self.encode(prompt) for prompt in prompts]
        read, mask = padded(rows)
        capacity = read.shape[1] + tokens - 1
        if model.longest and capacity > model.longest:
            most = model.longest - read.shape[1] + 1
            raise InputError(
                f"a prompt of {read.shape[1]} tokens and {tokens} more are beyond the model's {model.longest} "
                f"positions: beam search writes at most {max(most, 0)} more"
            )
        seen = jnp.zeros((len(rows), model.vocab_size), bool)
        options = (tokens, capacity, beams, length_penalty, early_stopping)
        found = self._search(self._trained.params, seen, read, mask, *options)
        self.written += int(found.lengths.sum())
        texts = []
        for prompt, row, ids, length in zip(
            prompts, rows, np.asarray(found.tokens), np.asarray(found.lengths), strict=True
        ):
            text = self._text(prompt, len(row), np.concatenate([row, ids[:length]]))
            texts.append(cut_at_stop(text, self._stops)[0])
        return texts

    def __call__(self, prompts: Sequence[str], *, tokens: int = 200, seed: int = 0) -> list[str]:
        """Return the continuations, ready to be appended to the prompts; arguments and errors as in `stream`."""
        return list(self.stream(prompts, tokens=tokens, seed=seed))[-1]

    def _text(self, prompt: str, length: int, ids: np.ndarray) -> str:
        """Return the text of `ids` behind the prompt, which has the first `length` of them."""
        tokenizer: Tokenizer = self._trained.tokenizer
        read = tokenizer.decode(ids[:length])
        text = tokenizer.decode(ids)[len(read) :]  # decoded together, for the space that may stand between
        if prompt and prompt[-1].isspace() and not read.endswith(prompt[-1]):  # white space that the ids do not hold
            return text.removeprefix(" ")
        return text


def padded(rows: Sequence[np.ndarray]) -> tuple[Int32[np.ndarray, "b t"], Bool[np.ndarray, "b t"] | None]:
    """Make one array of rows of several lengths, padded on the left, and its mask; None if nothing is padded."""
    width = max(map(len, rows))
    tokens, mask = np.zeros((len(rows), width), np.int32), np.zeros((len(rows), width), bool)
    for number, row in enumerate(rows):
        tokens[number, width - len(row) :], mask[number, width - len(row) :] = row, True
    return tokens, None if mask.all() else mask
