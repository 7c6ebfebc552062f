"""The variables by which a runner and its workers know each other."""

WORKER_VARIABLE = "ASRNN_BENCH_WORKER"
"""Set in a worker, to its job directory: a model's file that starts a run there would start runs without end."""

RUNNER_VARIABLE = "ASRNN_BENCH_RUNNER"
"""Set by a local runner, to its process id: its workers end with it."""

CORES_VARIABLE = "ASRNN_BENCH_CORES"
"""Set by a local runner, to the cores that a worker keeps to."""
