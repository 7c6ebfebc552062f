"""Hold what several cells share: their base classes, initialisations, constrained matrices and checks."""
