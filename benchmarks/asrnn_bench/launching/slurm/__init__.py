"""Run jobs on a Slurm cluster."""
