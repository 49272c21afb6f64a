"""The settings of a trained model in use."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from nlpx.config.settings import Settings, setting
from nlpx.errors import InputError


@dataclass(frozen=True)
class PredictConfig(Settings):
    """Prediction"""

    predict: str | None = setting(None, training=False)
    """Train nothing: use the model in --workdir on this text, or on each line of this file or of standard input (-)."""
    evaluate: str | None = setting(None, training=False)
    """Train nothing: report on this data, given as for --test, with the model in --workdir."""
    checkpoint: Literal["best", "latest"] = setting("best", training=False)
    """Checkpoint to use: that of the lowest validation loss, or the latest; also for the test at the end of a run."""


@dataclass(frozen=True)
class WritingConfig(PredictConfig):
    """Prediction"""

    tokens: int = setting(200, "[1, inf)", training=False)
    """Tokens to write."""
    samples: int = setting(1, "[1, inf)", training=False)
    """Continuations per text."""
    temperature: float = setting(0.8, "[0, inf)", training=False)
    """Divides the logits: below 1 more likely text, above 1 more daring; 0 always takes the likeliest token."""
    top_k: int = setting(0, "[0, inf)", training=False)
    """Choose among the k likeliest tokens; 0: among all."""
    top_p: float = setting(1.0, "(0, 1]", training=False)
    """Choose among the likeliest tokens that together reach this probability; 1: among all."""
    min_p: float = setting(0.0, "[0, 1]", training=False)
    """Choose among the tokens with at least this share of the highest probability; 0: among all."""
    draw: int = setting(0, "[-9e18, 9e18]", training=False)
    """Seed of the sampling."""


@dataclass(frozen=True)
class GenerateConfig(Settings):
    """Generation"""

    model: str | None = None
    """A run's workdir; a folder of Hugging Face's GPT-2; or the id of such a model of the hub, as gpt2."""
    prompt: str | None = None
    """Text to continue; a file, each line of which is continued; or - for lines of standard input."""
    score: str | None = None
    """Instead of writing: measure how well the model predicts the text of this file."""
    stride: int | None = setting(None, "[1, inf)")
    """With --score, of a Transformer: tokens between the begins of two windows; if not given, half the window."""
    max_new_tokens: int = setting(200, "[1, inf)")
    """Most tokens to write."""
    temperature: float = setting(0.0, "[0, inf)")
    """Divides the logits: below 1 more likely text, above 1 more daring; 0 always takes the likeliest token."""
    top_k: int = setting(0, "[0, inf)")
    """Choose among the k likeliest tokens; 0: among all."""
    top_p: float = setting(1.0, "(0, 1]")
    """Choose among the likeliest tokens that together reach this probability; 1: among all."""
    min_p: float = setting(0.0, "[0, 1]")
    """Choose among the tokens with at least this share of the highest probability; 0: among all."""
    repetition_penalty: float = setting(1.0, "(0, inf)")
    """Divides the positive logits of tokens that the text has, and multiplies the negative ones; 1: off."""
    beams: int = setting(1, "[1, inf)")
    """Hypotheses of a beam search, as transformers does it; 1: none."""
    length_penalty: float = setting(1.0, "(-inf, inf)")
    """With --beams: a hypothesis scores its log-probability divided by its tokens to this power."""
    early_stopping: bool = False
    """With --beams: stop as soon as so many hypotheses have ended."""
    stop: tuple[str, ...] = ()
    """String that ends a text and is not shown; may be given several times."""
    seed: int = setting(0, "[-9e18, 9e18]")
    """Seed of the sampling."""
    batch_size: int = setting(32, "[1, inf)")
    """Most lines of a file that are continued at once."""
    checkpoint: Literal["best", "latest"] = "best"
    """Which checkpoint of a run to use."""

    def check(self) -> None:
        """Refuse what would not be read.

        Raises:
          ValueError: neither or both of prompt and score, no model, or settings of another way to write.
        """
        if self.model is None:
            raise InputError("which model? give --model: a run's workdir, a folder of GPT-2, or gpt2")
        if (self.prompt is None) == (self.score is None):
            raise InputError("give either --prompt, a text to continue, or --score, a file to measure")
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        changed = {name for name, value in vars(self).items() if value != usual[name]}
        writing = changed - {"model", "prompt", "score", "stride", "checkpoint"}
        for why, names in (
            ("without --score", set() if self.score else {"stride"}),
            ("with --score", writing if self.score else set()),
            ("with --beams", {"temperature", "seed"} if self.beams > 1 else set()),
            ("without --beams", {"length_penalty", "early_stopping"} if self.beams == 1 else set()),
            ("without --temperature above 0", {"top_k", "top_p", "min_p", "seed"} if not self.temperature else set()),
        ):
            if unread := sorted(changed & names):
                flags = ", ".join("--" + name.replace("_", "-") for name in unread)
                raise InputError(f"{flags}: not read {why}; leave it out")


@dataclass(frozen=True)
class SearchConfig(PredictConfig):
    """Prediction"""

    beams: int = setting(4, "[1, inf)", training=False)
    """Hypotheses kept at every token; 1 is greedy."""
    length_penalty: float = setting(0.6, "(-inf, inf)", training=False)
    """A hypothesis scores its log-probability divided by ((5 + tokens) / 6) to this power; 0 favours short ones."""
    attention_map: str | None = setting(None, training=False)
    """With --predict TEXT: write the attention of its answer to this PNG."""


@dataclass(frozen=True)
class AnswerConfig(PredictConfig):
    """Prediction"""

    longest_answer: int = setting(20, "[1, inf)", training=False)
    """Most words in an answer."""
    probability_map: str | None = setting(None, training=False)
    """With --predict TEXT: write how probable it is that the answer begins and ends at each word to this PNG."""


@dataclass(frozen=True)
class SummaryConfig(SearchConfig):
    """Prediction"""

    summary_length: int = setting(40, "[1, inf)", training=False)
    """Most tokens to write."""
