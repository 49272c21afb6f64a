"""What is assumed of accelerators when training is planned on paper."""

from dataclasses import dataclass

from nlpx.config.settings import Settings, setting


@dataclass(frozen=True)
class AcceleratorConfig(Settings):
    """Accelerators; the defaults are NVIDIA's H100 SXM"""

    peak: float = setting(989.0, "(0, inf)")
    """TFLOP/s of dense products in bfloat16."""
    reached: float = setting(0.55, "(0, 1]")
    """Share of it that a model reaches, with all that is not a product."""
    memory: float = setting(80.0, "(0, inf)")
    """GB; a tenth stays free."""
    bandwidth: float = setting(3350.0, "(0, inf)")
    """GB/s of the memory."""
    within: float = setting(450.0, "(0, inf)")
    """GB/s of a device to others of its node, each way."""
    between: float = setting(50.0, "(0, inf)")
    """GB/s of a device to other nodes, each way."""
    hop: float = setting(2.0, "[0, inf)")
    """Microseconds of each step around a ring, besides its bytes."""
