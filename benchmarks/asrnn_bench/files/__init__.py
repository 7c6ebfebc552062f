"""Read and write files: atomically, strictly, and on file systems that fail for a while."""
