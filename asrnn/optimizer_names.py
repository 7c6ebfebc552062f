"""Name the optimisers and the learning-rate schedules; this file imports no torch, so that plans may read it."""

from typing import Literal

OptimizerName = Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"]
"""The optimisers of ``torch.optim`` that a classifier may be trained with."""

ScheduleName = Literal["constant", "cosine", "steps"]
"""How the learning rate changes with the optimiser steps."""
