"""The circumstances that every benchmark records, and the messages that it silences."""

from __future__ import annotations

import logging
import os
import platform
import sys
import warnings
from typing import Any

from optimcifar.runs.provenance import versions


def circumstances() -> dict[str, Any]:
    """Return data, device and versions."""
    device = f"cpu, {os.cpu_count()} cores, {platform.machine()}"
    return {"dataset": "Shapes10", "device": device, "versions": versions()}


def quiet() -> None:
    """Silence the libraries' remarks on short runs."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    sys.argv = sys.argv[:1]  # LightningCLI looks at it even where it is given its arguments
