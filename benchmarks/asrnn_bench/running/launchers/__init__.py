"""Where jobs run: a launcher starts the worker on job directories and knows nothing else of a job."""
