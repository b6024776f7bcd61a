"""The interface: length, level, determinism, digests, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from masd.errors import MasdError
from masd.vocoders import REGISTRY, get
from masd.vocoders.base import Adapter
from masd.vocoders.mel import MelSpec

SIGNAL = ["griffin_lim", "lpc", "mlsa", "world"]
RANDOM = ["griffin_lim", "lpc", "mlsa"]


def vocoder(name):
    pytest.importorskip("pyworld" if name == "world" else "numpy")
    return get(name, {"f0": "dio"} if name == "world" else {})


def rms(x):
    return np.sqrt(np.mean(x.astype(np.float64) ** 2))


class Fixed(Adapter):
    """An adapter whose output is given."""

    bounded = True
    output = None

    def synthesise(self, x, seed):
        return self.output(x)


def fixed(output):
    adapter = Fixed("fixed", Fixed.config_class())
    adapter.output = output
    return adapter


@pytest.mark.parametrize("name", SIGNAL)
def test_length_level_and_dtype_are_the_inputs(name, voice):
    make = vocoder(name)
    for n in (len(voice), len(voice) - 77, 4001):
        y = make(voice[:n], 16000, "a")
        assert y.dtype == np.float32 and y.shape == (n,)
        assert rms(y) == pytest.approx(rms(voice[:n]), rel=1e-4)


def test_the_vocoder_that_the_documentation_adds_is_one(voice, tmp_path, monkeypatch):
    """docs/vocoders.md: its module in the recipe's local/, and its line in conf/vocoders.yaml."""
    page = (Path(__file__).parents[2] / "docs/vocoders.md").read_text()
    name, code = re.search(r"^`local/(\w+)\.py`:\n\n```python\n(.*?)^```$", page, re.M | re.S).groups()
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / f"{name}.py").write_text(code)
    config = yaml.safe_load(re.search(rf"`{name}: (\{{.*\}})`", page)[1])
    monkeypatch.syspath_prepend(tmp_path)
    y = get(name, config)(voice, 16000, "a")
    assert y.shape == voice.shape and rms(y) == pytest.approx(rms(voice), rel=1e-4)
    assert np.array_equal(y, get(name, config)(voice, 16000, "a"))
    assert not np.array_equal(y, get(name, {"type": config["type"]})(voice, 16000, "a"))


@pytest.mark.parametrize("kind", ["nowhere:Vocoder", "masd.vocoders.world:Nothing", "json:JSONDecoder"])
def test_a_type_that_is_no_vocoder_is_named(kind):
    with pytest.raises(MasdError, match=f"vocoder mine: type {kind}: "):
        get("mine", {"type": kind})


@pytest.mark.parametrize("name", SIGNAL)
def test_a_copy_has_the_spectrum_of_its_source(name, voice):
    import torch

    spec = MelSpec(16000, n_mels=40, f_max=7600.0)
    y = vocoder(name)(voice, 16000, "a")
    a, b = (spec(torch.from_numpy(v)).numpy().ravel() for v in (voice, y))
    assert np.corrcoef(a, b)[0, 1] > 0.9
    assert not np.allclose(voice, y, atol=1e-3)


@pytest.mark.parametrize("name", SIGNAL)
def test_the_same_utterance_gives_the_same_bits_and_randomness_follows_seed_and_id(name, voice):
    x = voice[6000:]  # with noise in it
    first = vocoder(name)(x, 16000, "a")
    np.random.seed(1)
    assert np.array_equal(first, vocoder(name)(x, 16000, "a"))
    if name in RANDOM:
        assert not np.array_equal(first, vocoder(name)(x, 16000, "b"))
        assert not np.array_equal(first, get(name, {"seed": 1})(x, 16000, "a"))
        assert not np.array_equal(first, get("other", {"type": name})(x, 16000, "a"))


@pytest.mark.parametrize("name", SIGNAL)
def test_level_of_the_input_does_not_change_the_copy_but_its_level(name, voice):
    x = voice[:6000]
    loud, quiet = vocoder(name)(x, 16000, "a"), vocoder(name)(x / 64, 16000, "a")
    assert np.allclose(loud, 64 * quiet, atol=2e-3)


@pytest.mark.parametrize("name", SIGNAL)
@pytest.mark.parametrize("n", [1, 50, 700])
def test_a_very_short_input_gives_a_copy_or_a_clear_refusal(name, n, voice):
    x = voice[2000 : 2000 + n]
    try:
        assert vocoder(name)(x, 16000, "a").shape == (n,)
    except MasdError as error:
        assert "utterance a" in str(error)


def test_other_rates_than_the_vocoders_are_resampled_on_the_way(voice):
    class At24(Fixed):
        sample_rate = 24000

        def synthesise(self, x, seed):
            assert abs(len(x) - 1.5 * len(voice)) <= 1
            return x

    y = At24("x", At24.config_class())(voice, 16000)
    assert y.shape == voice.shape
    assert rms(y - voice) < 0.05 * rms(voice)  # no delay, and all but the top of the band is kept


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.zeros(100, np.float32), "non-silent"),
        (np.full(100, np.nan, np.float32), "finite"),
        (np.zeros(0, np.float32), "one finite"),
        (np.ones((2, 100), np.float32), "one finite"),
    ],
)
def test_unusable_input_is_refused_by_name(x, match):
    with pytest.raises(MasdError, match=f"vocoder fixed, utterance u: .*{match}"):
        fixed(lambda v: v)(x, 16000, "u")


@pytest.mark.parametrize(
    ("output", "match"),
    [
        (lambda x: x * 0, "silent"),
        (lambda x: x * 0.005, "silent"),
        (lambda x: np.where(np.arange(len(x)) == 5, np.nan, x), "not finite"),
        (lambda x: x[:0], "or none"),
        (lambda x: np.clip(x * 8, -1, 1), "clipped"),
    ],
)
def test_output_that_is_no_copy_is_refused(output, match, voice):
    with pytest.raises(MasdError, match=match):
        fixed(output)(voice, 16000, "u")


def test_a_library_that_fails_is_one_line(voice):
    def fail(x):
        raise ValueError("bad\nthings")

    with pytest.raises(MasdError, match=r"utterance u: no output \(bad things\)"):
        fixed(fail)(voice, 16000, "u")


def test_output_of_other_length_is_cut_or_padded(voice):
    assert fixed(lambda x: x[:-100])(voice).shape == voice.shape
    assert fixed(lambda x: np.pad(x, (0, 100)))(voice).shape == voice.shape


def test_unknown_names_keys_and_types_are_errors():
    with pytest.raises(MasdError, match=r"no such type 'vocodex'.*griffin_lim"):
        get("vocodex")
    with pytest.raises(MasdError, match=r"vocoder lpc: unknown key 'ordr'; it has .*order"):
        get("lpc", {"ordr": 3})
    with pytest.raises(MasdError, match="order is '20'"):
        get("lpc", {"order": "20"})
    with pytest.raises(MasdError, match="order is True"):
        get("lpc", {"order": True})
    with pytest.raises(MasdError, match="mel or magnitude"):
        get("griffin_lim", {"source": "lin"})
    assert get("lpc", {"hop": 10}).digest()  # whole numbers may stand for real ones


def test_digest_depends_on_name_configuration_and_seed():
    digests = [
        get("lpc").digest(),
        get("lpc", {"order": 16}).digest(),
        get("lpc", {"seed": 1}).digest(),
        get("lpc2", {"type": "lpc"}).digest(),
        get("mlsa").digest(),
    ]
    assert len(set(digests)) == len(digests)
    assert get("lpc", {"order": 20, "seed": 0}).digest() == digests[0]


def test_every_registered_adapter_can_be_imported_and_says_what_it_is():
    import importlib

    for entry in REGISTRY.values():
        module, _, name = entry.partition(":")
        if name == "World":
            pytest.importorskip("pyworld")
        adapter = getattr(importlib.import_module(module), name)
        assert issubclass(adapter, Adapter) and adapter.__doc__
        assert bool(adapter.files) == bool(adapter.published)


@pytest.mark.parametrize("name", ["hifigan", "mb_melgan", "melgan", "waveglow", "univnet", "bigvgan"])
def test_missing_weights_are_an_error_that_says_where_they_are_published(name, tmp_path):
    with pytest.raises(MasdError, match=r"no checkpoint given; .*(github\.com|PyPI|NGC|huggingface)"):
        get(name)
    with pytest.raises(MasdError, match=r"nowhere\.pt does not exist; .*(github\.com|PyPI|NGC|huggingface)"):
        get(name, {"checkpoint": str(tmp_path / "nowhere.pt")})
