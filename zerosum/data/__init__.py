"""Data: opening image sets of any kind, batches by random access, toy distributions, pictures of samples."""

from zerosum.data.dataset import open_data
from zerosum.data.formats import Check, DataError, Dataset, Format
from zerosum.data.source import Resident

__all__ = ["Check", "DataError", "Dataset", "Format", "Resident", "open_data"]
