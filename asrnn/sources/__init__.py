"""Find the source code of a model, import it, and identify it by digests."""
