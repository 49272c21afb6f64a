"""The base of most tasks."""

from typing import Any, ClassVar

from nlpx.ops.array_types import Array


class ModelTask:
    """A task with one model, which carries nothing from batch to batch."""

    model: Any
    counted: ClassVar[str] = "token"
    """What the loss is averaged over."""
    unit: ClassVar[str] = "nats"
    """The unit of the loss."""
    read: ClassVar[str] = "token"
    """What speed counts."""

    def init(self, key: Array) -> Any:
        """Return the initial parameters."""
        return self.model.init(key, *self.model.example_inputs())["params"]

    def initial_carry(self, batch_size: int) -> Any:
        """Return the carry for the first batch of a stream: nothing."""
        return ()
