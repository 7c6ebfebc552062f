"""Share among cells: kinds of cells, initialisations, matrices with constraints, and checks."""
