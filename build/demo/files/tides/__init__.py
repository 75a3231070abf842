"""Tide prediction by harmonic analysis.

The height of the water at a harbour is the sum of a mean level and of one cosine for each constituent.
"""

from .extremes import Extreme, extremes
from .harbour import Harbour, load, names
from .predict import level, series

__version__ = "0.1.0"

__all__ = ["Extreme", "Harbour", "extremes", "level", "load", "names", "series"]
