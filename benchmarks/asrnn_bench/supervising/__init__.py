"""Start, watch and end the process that trains a job."""
