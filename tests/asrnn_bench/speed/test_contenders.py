"""Who is timed, and who is missing."""

import pytest

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.speed import contenders
from asrnn_bench.speed.contenders import PEERS, choose_contenders, missing_peers


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but torch is installed."""
    monkeypatch.setattr(
        contenders, "_version", lambda target: "1.0" if target.startswith(("torch.", "asrnn")) else None
    )


@pytest.fixture
def _all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "_version", lambda target: "1.0")


@pytest.mark.usefixtures("_all_installed")
def test_without_names_the_suites_models_and_every_peer_are_timed() -> None:
    chosen = [one.name for one in choose_contenders([])]
    assert {"antisymmetric", "antisymmetric-gated", "lstm", "unstructured-gated", *PEERS} <= set(chosen)
    assert "urnn" not in chosen
    assert len(chosen) == len(set(chosen))
    assert missing_peers() == []


@pytest.mark.usefixtures("_alone")
def test_a_missing_peer_is_one_line_that_says_what_to_install() -> None:
    chosen = [one.name for one in choose_contenders([])]
    assert [name for name in chosen if name in PEERS] == ["nn.RNN", "nn.GRU", "nn.LSTM"]
    (line,) = missing_peers()
    assert "torchrecurrent.LEM" in line
    assert "torchrecurrent.AntisymmetricRNN" in line
    assert "pip install torchrecurrent" in line
    for name in ("torchrecurrent.LEM", "torchrecurrent:LEM"):
        with pytest.raises(UsageError, match="torchrecurrent.LEM is not installed; pip install torchrecurrent"):
            choose_contenders([name])


@pytest.mark.usefixtures("_all_installed")
def test_the_lstm_is_timed_with_whatever_was_named_and_once() -> None:
    assert [one.name for one in choose_contenders(["rnn", "torchrecurrent.LEM"])] == [
        "rnn",
        "torchrecurrent.LEM",
        "nn.LSTM",
    ]
    assert [one.name for one in choose_contenders(["nn.LSTM", "rnn", "rnn"])] == ["nn.LSTM", "rnn"]


def test_a_model_is_timed_with_a_back_end_that_is_named() -> None:
    with_loop, best, _ = choose_contenders(["lem@loop", "lem"])
    assert (with_loop.name, with_loop.backend, best.backend) == ("lem@loop", "loop", "auto")
    assert with_loop.target == best.target
    with pytest.raises(UsageError, match="nn.LSTM runs by itself: only models take a back end, as in lem@loop"):
        choose_contenders(["nn.LSTM@loop"])


@pytest.mark.usefixtures("_all_installed")
def test_a_peer_is_known_by_the_reference_that_suites_name_it_by() -> None:
    assert choose_contenders(["torch.nn:LSTM", "torchrecurrent:LEM"]) == choose_contenders(
        ["nn.LSTM", "torchrecurrent.LEM"]
    )


def test_another_layer_of_a_peers_package_is_timed_as_the_model_that_suites_train() -> None:
    pytest.importorskip("torchrecurrent")
    (layer, _) = choose_contenders(["torchrecurrent:MGU"])
    assert (layer.name, layer.kind, layer.target) == ("torchrecurrent-mgu", "model", "torchrecurrent:MGU")
    assert layer.package.startswith("torchrecurrent ")


def test_an_unknown_name_is_told_the_nearest_of_models_and_peers() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'nn.LSTN'; did you mean 'nn.LSTM'\?"):
        choose_contenders(["nn.LSTN"])
