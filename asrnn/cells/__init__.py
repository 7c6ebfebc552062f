"""Hold the recurrent cells, one in a file; the name of a cell is the file's name in kebab-case."""

from asrnn.cells.parts.recurrent_cell import RecurrentCell as RecurrentCell
from asrnn.cells.parts.recurrent_cell import State as State
