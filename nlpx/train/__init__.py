"""The engine: one training step for every task, and the loop, checkpoints and reports around it."""

from nlpx.train.language_modelling import LanguageModelling
from nlpx.train.loop import Engine, Interrupted, TrainResult, train
from nlpx.train.report import DivergedError
from nlpx.train.step import Task, TaskLoss, TrainState, make_eval_step, make_train_step
from nlpx.train.translation import Translation

__all__ = [
    "DivergedError",
    "Engine",
    "Interrupted",
    "LanguageModelling",
    "Task",
    "TaskLoss",
    "TrainResult",
    "TrainState",
    "Translation",
    "make_eval_step",
    "make_train_step",
    "train",
]
