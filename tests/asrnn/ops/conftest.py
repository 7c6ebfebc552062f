"""Fused scans are tested on memory that is NaN until something was written to it, with several threads."""

from scan_fixtures import backend as backend
from scan_fixtures import cell as cell
from scan_fixtures import nan_memory as nan_memory
from scan_fixtures import threads_of_torch as threads_of_torch
