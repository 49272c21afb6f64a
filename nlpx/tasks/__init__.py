"""What is predicted and how it is scored. A task is a model and a loss that gives named sums and counts.

The engine (`nlpx.train`) sums them over devices, accumulation parts and batches, and asks nothing else of a task:

    init(key)                                       the initial parameters
    initial_carry(batch_size)                       what the first batch of a stream needs; () where nothing is carried
    loss(params, batch, carry, dropout_keys, step)  the sums of a batch, and what the next one of its stream needs
    metrics(sums)                                   figures out of the sums of a whole set
    counted                                         what the loss is a mean over: "token", "text"

Among the sums are `loss` (nats), which is minimized, and `count`, by which it is divided; `tokens` is what a run's
speed is counted in, where it is another. `dropout_keys` and `step` are None in evaluation.
"""

from nlpx.tasks.captioning import Captioning
from nlpx.tasks.classification import Classification
from nlpx.tasks.forecasting import Forecasting
from nlpx.tasks.language_modelling import LanguageModelling
from nlpx.tasks.masked_language_modelling import MaskedLanguageModelling
from nlpx.tasks.question_answering import QuestionAnswering
from nlpx.tasks.rows import RowClassification, RowRegression
from nlpx.tasks.sequence_to_sequence import SequenceToSequence
from nlpx.tasks.tagging import Tagging

__all__ = [
    "Captioning",
    "Classification",
    "Forecasting",
    "LanguageModelling",
    "MaskedLanguageModelling",
    "QuestionAnswering",
    "RowClassification",
    "RowRegression",
    "SequenceToSequence",
    "Tagging",
]
