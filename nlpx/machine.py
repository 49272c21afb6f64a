"""What measured figures depend on besides their settings: the machine, the day and the code."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(*packages: str) -> dict[str, Any]:
    """Return the device, the number of cores, today's date, the commit ("+": with changes), and versions.

    Args:
      packages: whose versions are given besides those of jax and flax.
    """
    import jax

    device = jax.devices()[0].device_kind
    if device == "cpu":
        info = Path("/proc/cpuinfo")
        found = re.search(r"model name\s*: (.*)", info.read_text(encoding="utf-8") if info.exists() else "")
        device = re.sub(r"\(\w+\)", "", found[1]) if found else platform.processor() or platform.machine()
    git = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    ran = (
        subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True) if shutil.which("git") else None
    )
    return {
        "device": device,
        "cores": cores(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": (ran.stdout.strip() if ran else "") or "unknown+",
        "versions": {name: importlib.metadata.version(name) for name in dict.fromkeys(("jax", "flax", *packages))},
    }
