"""Where jobs run: a launcher starts supervisors on job directories and knows nothing else of a job."""

from typing import Literal

Launcher = Literal["local", "ray", "slurm"]
