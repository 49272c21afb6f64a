"""What most tasks share."""

from typing import Any, ClassVar

from nlpx.ops.array_types import Array


class ModelTask:
    """A task around one model, which carries nothing from batch to batch."""

    model: Any
    counted: ClassVar[str] = "token"
    """What the loss is a mean over."""
    unit: ClassVar[str] = "nats"
    """Of the loss."""

    def init(self, key: Array) -> Any:
        """The initial parameters."""
        return self.model.init(key, *self.model.example_inputs())["params"]

    def initial_carry(self, batch_size: int) -> Any:
        """What the first batch of a stream needs: nothing."""
        return ()
