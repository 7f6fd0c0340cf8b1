"""Small ONNX models, one for each corner of the format: functions that draw them, by family."""

from . import control, domains, narrow, passes, sequences, storage  # noqa: F401  (they fill MAKERS)
from .draft import MAKERS, Draft

__all__ = ["MAKERS", "Draft"]
