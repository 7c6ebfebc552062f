"""The choice of contenders, and the report of missing peers."""

from pathlib import Path

import pytest

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.speed import contenders
from asrnn_bench.speed.contenders import PEERS, choose_contenders, missing_peers


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that only torch is installed and that the processor has no products of bfloat16."""
    monkeypatch.setattr(contenders, "why_no_bfloat16", lambda: "this processor has neither AVX512-BF16 nor AMX")
    monkeypatch.setattr(
        contenders, "_version", lambda target: "1.0" if target.startswith(("torch.", "asrnn")) else None
    )


@pytest.fixture
def _all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "_version", lambda target: "1.0")
    monkeypatch.setattr(contenders, "why_no_bfloat16", lambda: None)


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
    assert [name for name in chosen if name in PEERS] == ["nn.RNN", "nn.GRU", "nn.LSTM", "nn.LSTM-plain"]
    line, jax, processor = missing_peers()
    assert jax == "not installed, so not timed: jax.AntisymmetricRNN, jax.LSTM; pip install jax"
    assert processor == "not timed: nn.LSTM-bfloat16; this processor has neither AVX512-BF16 nor AMX"
    assert "torchrecurrent.LEM" in line
    assert "torchrecurrent.AntisymmetricRNN" in line
    assert "pip install torchrecurrent" in line
    for name in ("torchrecurrent.LEM", "torchrecurrent:LEM"):
        with pytest.raises(UsageError, match="torchrecurrent.LEM is not installed; pip install torchrecurrent"):
            choose_contenders([name])


@pytest.mark.usefixtures("_all_installed")
def test_the_lstm_is_always_timed_once() -> None:
    assert [one.name for one in choose_contenders(["rnn", "torchrecurrent.LEM"])] == [
        "rnn",
        "torchrecurrent.LEM",
        "nn.LSTM",
    ]
    assert [one.name for one in choose_contenders(["nn.LSTM", "rnn", "rnn"])] == ["nn.LSTM", "rnn"]


def test_a_model_is_timed_with_a_named_back_end() -> None:
    with_loop, best, _ = choose_contenders(["lem@loop", "lem"])
    assert (with_loop.name, with_loop.backend, best.backend) == ("lem@loop", "loop", "auto")
    assert with_loop.target == best.target
    with pytest.raises(UsageError, match="nn.LSTM runs by itself: only models take a back end, as in lem@loop"):
        choose_contenders(["nn.LSTM@loop"])


@pytest.mark.usefixtures("_all_installed")
def test_a_peer_is_known_by_its_reference_in_suites() -> None:
    assert choose_contenders(["torch.nn:LSTM", "torchrecurrent:LEM"]) == choose_contenders(
        ["nn.LSTM", "torchrecurrent.LEM"]
    )


def test_another_layer_of_a_peers_package_is_timed_as_a_model() -> None:
    pytest.importorskip("torchrecurrent")
    (layer, _) = choose_contenders(["torchrecurrent:MGU"])
    assert (layer.name, layer.kind, layer.target) == ("torchrecurrent-mgu", "model", "torchrecurrent:MGU")
    assert layer.package.startswith("torchrecurrent ")


def test_an_unknown_name_gets_the_nearest_model_or_peer() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'nn.LSTN'; did you mean 'nn.LSTM'\?"):
        choose_contenders(["nn.LSTN"])


@pytest.mark.usefixtures("_all_installed")
def test_other_libraries_and_settings_have_their_own_process() -> None:
    apart = [one.name for one in choose_contenders([]) if one.own_process]
    assert apart == ["jax.AntisymmetricRNN", "jax.LSTM", "nn.LSTM-plain"]


@pytest.mark.usefixtures("_alone")
def test_bfloat16_is_refused_where_the_processor_has_no_products_of_it() -> None:
    with pytest.raises(UsageError, match="nn.LSTM-bfloat16 is not timed: this processor has neither AVX512-BF16 nor"):
        choose_contenders(["nn.LSTM-bfloat16"])


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\nbugs\t: x\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx512f\nbugs\t\t: avx512_bf16\n", False),
        (None, False),
    ],
)
def test_the_processor_flags_decide_about_bfloat16(tmp_path: Path, text: str | None, has: bool) -> None:
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    assert contenders.why_no_bfloat16(path) == (None if has else "this processor has neither AVX512-BF16 nor AMX")
