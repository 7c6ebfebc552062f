"""Recurrent cells, one a file; the file's stem in kebab-case is the name a cell is registered under."""

from asrnn.cells.parts.recurrent_cell import RecurrentCell as RecurrentCell
from asrnn.cells.parts.recurrent_cell import State as State
