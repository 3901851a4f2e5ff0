"""The generator as a prior: operators, one solver, and the classical ways beside it."""
