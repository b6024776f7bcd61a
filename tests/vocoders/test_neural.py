"""Neural vocoders: random weights in the published format, saved, loaded strictly and run.

The names and shapes in `PUBLISHED` are those of the published files, so a module that drifts from them fails.
"""

import json

import numpy as np
import pytest
import torch
from vocoder_samples import HIFIGAN, random_state, save_hifigan, speech, tiny_flow, with_weight_norm

from masd.errors import MasdError
from masd.vocoders import bigvgan, get, hifigan, melgan, waveglow
from masd.vocoders.checkpoint import fold_weight_norm

V1 = HIFIGAN | {
    "upsample_initial_channel": 512,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
}
BIGVGAN_BASE = V1 | {"activation": "snakebeta", "snake_logscale": True}
PUBLISHED = {
    "hifigan": {
        "conv_pre.weight_v": (512, 80, 7),
        "ups.0.weight_g": (512, 1, 1),
        "ups.3.weight_v": (64, 32, 4),
        "resblocks.0.convs1.2.weight_v": (256, 256, 3),
        "resblocks.11.convs2.0.weight_v": (32, 32, 11),
        "conv_post.bias": (1,),
    },
    "bigvgan": {
        "ups.0.0.weight_v": (512, 256, 16),
        "resblocks.11.convs2.2.weight_g": (32, 1, 1),
        "resblocks.0.activations.5.act.alpha": (256,),
        "resblocks.0.activations.5.act.beta": (256,),
        "resblocks.0.activations.0.upsample.filter": (1, 1, 12),
        "resblocks.0.activations.0.downsample.lowpass.filter": (1, 1, 12),
        "activation_post.act.beta": (32,),
        "conv_post.weight_v": (1, 32, 7),
        "conv_post.bias": (1,),
    },
    "melgan descript": {
        "model.1.weight_v": (512, 80, 7),
        "model.3.weight_v": (512, 256, 16),
        "model.4.block.2.weight_v": (256, 256, 3),
        "model.6.shortcut.weight_g": (256, 1, 1),
        "model.24.weight_v": (1, 32, 7),
    },
    "melgan seungwonpark": {
        "generator.1.weight_v": (512, 80, 7),
        "generator.4.blocks.2.4.weight_v": (256, 256, 1),
        "generator.13.shortcuts.2.bias": (32,),
        "generator.16.weight_v": (1, 32, 7),
    },
    "waveglow": {
        "upsample.weight": (80, 80, 1024),
        "convinv.11.conv.weight": (4, 4, 1),
        "WN.0.start.weight_v": (256, 4, 1),
        "WN.0.cond_layer.weight_g": (4096, 1, 1),
        "WN.4.in_layers.7.weight_v": (512, 256, 3),
        "WN.11.res_skip_layers.7.weight_v": (256, 256, 1),
        "WN.11.end.weight": (4, 256, 1),
    },
}


MODULES = {
    "hifigan": lambda: hifigan.Generator(V1),
    "bigvgan": lambda: bigvgan.Generator(BIGVGAN_BASE),
    "melgan descript": lambda: melgan.DescriptGenerator(80, 32, 3),
    "melgan seungwonpark": melgan.SeungwonGenerator,
    "waveglow": lambda: waveglow.Flow(80, [8] * 4 + [6] * 4 + [4] * 4, 256, 8, 3),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_are_the_published_ones(name):
    module = MODULES[name]()
    plain = ("upsample.weight", "convinv", ".end.") if name == "waveglow" else ()
    shapes = {}
    for key, value in module.state_dict().items():
        stem, _, last = key.rpartition(".")
        if last == "weight" and not any(p in key for p in plain):
            shapes[f"{stem}.weight_v"] = tuple(value.shape)
            shapes[f"{stem}.weight_g"] = (value.shape[0], 1, 1)
        else:
            shapes[key] = tuple(value.shape)
    assert {k: shapes.get(k) for k in PUBLISHED[name]} == PUBLISHED[name]


def test_bigvgan_v2_has_no_bias_and_no_tanh_at_its_end():
    h = HIFIGAN | {"activation": "snake", "snake_logscale": True}
    module = bigvgan.Generator(h | {"use_bias_at_final": False, "use_tanh_at_final": False})
    assert "conv_post.bias" not in module.state_dict()
    random_state(module, scale=3.0)
    assert module(torch.randn(1, 80, 8)).abs().max() == 1.0  # cut at full scale, which tanh never reaches


def check(vocoder, voice):
    """A copy of the right length and level, the same on a rerun; on other weights it is another."""
    x = voice[: 16000 // 2 + 3]
    y = vocoder(x, 16000, "a")
    assert y.shape == x.shape and y.dtype == np.float32
    assert np.sqrt(np.mean(y**2)) == pytest.approx(np.sqrt(np.mean(x**2)), rel=1e-4)
    assert np.array_equal(y, vocoder(x, 16000, "a"))
    assert vocoder(x[:100], 16000, "a").shape == (100,)
    return y


def test_hifigan_runs_from_a_checkpoint(tmp_path, voice):
    config = save_hifigan(tmp_path)
    vocoder = get("mine", config | {"type": "hifigan"})
    assert vocoder.sample_rate == 22050
    y = check(vocoder, voice)
    before = vocoder.digest()
    save_hifigan(tmp_path, seed=1)
    assert get("mine", config | {"type": "hifigan"}).digest() != before
    assert not np.array_equal(get("mine", config | {"type": "hifigan"})(voice[:8003], 16000, "a"), y)


def test_hifigan_with_the_second_kind_of_block(tmp_path, voice):
    check(get("hifigan", save_hifigan(tmp_path, HIFIGAN | {"resblock": "2"})), voice)


def test_hifigans_faster_layout_gives_the_same_sums():
    generator = hifigan.Generator(HIFIGAN).eval().requires_grad_(False)
    random_state(generator)
    mel = torch.randn(1, 80, 30, generator=torch.Generator().manual_seed(0))
    want = generator(mel)
    got = hifigan.time_last(generator)(mel[:, :, None])[:, :, 0]
    assert torch.allclose(got, want, atol=1e-6)


def test_a_checkpoint_of_another_size_is_refused_by_its_first_difference(tmp_path):
    config = save_hifigan(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(HIFIGAN | {"upsample_initial_channel": 64}))
    with pytest.raises(MasdError, match=r"tensor conv_post\.weight is \(1, 2, 7\) where .* \(1, 4, 7\)"):
        get("hifigan", config).prepare()
    config = save_hifigan(tmp_path, edit=lambda s: {k: v for k, v in s.items() if k != "conv_post.bias"})
    with pytest.raises(MasdError, match=r"conv_post\.bias is nothing where"):
        get("hifigan", config).prepare()


def save(tmp_path, content, name="w.pt"):
    torch.save(content, tmp_path / name)
    return {"checkpoint": str(tmp_path / name)}


@pytest.mark.parametrize("activation", ["snake", "snakebeta"])
def test_bigvgan_runs_from_a_checkpoint(activation, tmp_path, voice):
    h = HIFIGAN | {"activation": activation, "snake_logscale": True, "resblock_kernel_sizes": [3, 7]}
    state = with_weight_norm(random_state(bigvgan.Generator(h), scale=0.3))
    (tmp_path / "config.json").write_text(json.dumps(h))
    config = save(tmp_path, {"generator": state}) | {"config": str(tmp_path / "config.json")}
    check(get("bigvgan", config), voice)
    (tmp_path / "config.json").write_text(json.dumps(h | {"activation": "relu"}))
    with pytest.raises(MasdError, match="snake or snakebeta"):
        get("bigvgan", config)


def test_bigvgans_activation_agrees_with_a_loop():
    h = {"activation": "snakebeta", "snake_logscale": True}
    act = bigvgan.Activation(1, h).requires_grad_(False)
    act.act.alpha.fill_(0.3)
    act.act.beta.fill_(-0.2)
    x = np.random.default_rng(0).standard_normal(9)
    taps = bigvgan.half_band_filter().numpy().ravel().astype(np.float64)
    ends = np.pad(x, 20, mode="edge")
    twice = np.zeros(2 * len(ends))
    twice[::2] = ends
    up = 2 * np.convolve(twice, taps)
    up = up[40 + 5 : 40 + 5 + 2 * len(x)]  # 12 taps: the filter's centre lies half a sample after its fifth
    up = up + np.sin(np.exp(0.3) * up) ** 2 / (np.exp(-0.2) + 1e-9)
    ends = np.pad(up, (5, 6), mode="edge")
    want = [ends[2 * t : 2 * t + 12] @ taps for t in range(len(x))]
    got = act(torch.from_numpy(x.astype(np.float32))[None, None])[0, 0].numpy()
    assert np.allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("kind", ["descript", "seungwonpark"])
def test_melgan_runs_from_either_checkpoint(kind, tmp_path, voice):
    module = melgan.DescriptGenerator(80, 4, 2) if kind == "descript" else melgan.SeungwonGenerator()
    state = with_weight_norm(random_state(module))
    config = save(tmp_path, state if kind == "descript" else {"model_g": state, "epoch": 6400, "hp_str": ""})
    vocoder = get("melgan", config)
    check(vocoder, voice)
    assert vocoder.model[0].log10 == (kind == "descript")


def test_melgan_refuses_other_models(tmp_path):
    config = save(tmp_path, {"a.weight": torch.ones(1)})
    with pytest.raises(MasdError, match="no MelGAN generator"):
        get("melgan", config).prepare()


PLAIN = ("upsample.weight", "convinv", ".end.")


def test_waveglow_runs_from_a_state_dict_and_its_noise_is_seeded(tmp_path, voice):
    flow = tiny_flow()
    state = with_weight_norm(flow.state_dict(), PLAIN)
    y = check(get("waveglow", save(tmp_path, {"model": state})), voice)
    module = {f"module.{k}": v for k, v in state.items()}
    config = save(tmp_path, {"state_dict": module, "config": {"n_flows": 5}}, "ngc.pth")
    assert np.array_equal(get("waveglow", config)(voice[:8003], 16000, "a"), y)
    assert not np.array_equal(get("waveglow", config)(voice[:8003], 16000, "b"), y)
    with pytest.raises(MasdError, match="no WaveGlow"):
        get("waveglow", save(tmp_path, {"model": {"a": torch.ones(1)}}, "x.pt")).prepare()


def test_waveglow_with_one_conditioning_layer_a_wavenet_layer(tmp_path, voice):
    """NVIDIA's NGC model has cond_layers.0, .1, ... where the newer code has one cond_layer."""
    state = with_weight_norm(tiny_flow().state_dict(), PLAIN)
    older = {}
    for key, value in state.items():
        stem, found, last = key.partition(".cond_layer.")
        if found:
            for i, part in enumerate(value.chunk(3)):
                older[f"{stem}.cond_layers.{i}.{last}"] = part
        else:
            older[key] = value
    a = get("waveglow", save(tmp_path, {"model": state}))(voice[:5000], 16000, "a")
    b = get("waveglow", save(tmp_path, {"state_dict": older}, "old.pt"))(voice[:5000], 16000, "a")
    assert np.allclose(a, b, atol=1e-5)


def test_waveglow_inverts_the_flow_that_training_runs():
    """The forward flow, written out here, takes the waveform back to the latent that was drawn."""
    flow = tiny_flow()
    mel = torch.randn(1, 80, 4, generator=torch.Generator().manual_seed(9))
    audio = flow(mel, 0.6, [torch.Generator().manual_seed(7)])
    x = audio.reshape(1, -1, 8).transpose(1, 2)
    spread = flow.upsample(mel)[..., :1024]
    condition = torch.stack(
        [torch.cat([spread[0, m, 8 * t : 8 * t + 8] for m in range(80)]) for t in range(128)], dim=1
    )[None]
    latent = []
    for k, channels in enumerate([8, 8, 6, 6, 4]):
        latent += [x[:, : x.shape[1] - channels]] if x.shape[1] > channels else []
        x = x[:, x.shape[1] - channels :]
        x = torch.einsum("ij,bjt->bit", flow.convinv[k].conv.weight[:, :, 0], x)
        a, b = x.chunk(2, dim=1)
        shift, log_scale = flow.WN[k](a, condition)
        x = torch.cat([a, torch.exp(log_scale) * b + shift], dim=1)
    generator = torch.Generator().manual_seed(7)
    drawn = [0.6 * torch.randn(1, c, 128, generator=generator) for c in (4, 2, 2)]
    for got, want in zip([x, *latent[::-1]], drawn, strict=True):
        assert torch.allclose(got, want, atol=1e-4)


def test_univnet_runs_from_a_transformers_folder(tmp_path, voice):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = transformers.UnivNetConfig(
        model_hidden_channels=8, kernel_predictor_hidden_channels=8, model_in_channels=8
    )
    model = transformers.UnivNetModel(small)
    random_state(model)
    model.save_pretrained(tmp_path / "u")
    vocoder = get("univnet", {"checkpoint": str(tmp_path / "u")})
    assert vocoder.sample_rate == 24000
    y = check(vocoder, voice)
    assert not np.array_equal(vocoder(voice[:8003], 16000, "b"), y)
    config = json.loads((tmp_path / "u" / "config.json").read_text())
    (tmp_path / "u" / "config.json").write_text(json.dumps(config | {"model_hidden_channels": 16}))
    with pytest.raises(MasdError, match=r"model\.safetensors: tensor .* where the configuration asks for"):
        get("univnet", {"checkpoint": str(tmp_path / "u")}).prepare()
    (tmp_path / "u" / "model.safetensors").unlink()
    with pytest.raises(MasdError, match=r"no model\.safetensors .*huggingface"):
        get("univnet", {"checkpoint": str(tmp_path / "u")})


def test_univnets_spectrogram_is_that_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    model = transformers.UnivNetModel(transformers.UnivNetConfig())
    model.save_pretrained(tmp_path / "u")
    spec, _ = get("univnet", {"checkpoint": str(tmp_path / "u")}).model
    x = speech(0.5)
    want = transformers.UnivNetFeatureExtractor().mel_spectrogram(x)
    assert np.allclose(spec(torch.from_numpy(x)).numpy().T, want, atol=1e-3)


class Interpreter:
    """Stands for ai-edge-litert's: 300 samples a frame, the first band's value as the level."""

    def get_input_details(self):
        return [{"index": 0}]

    def get_output_details(self):
        return [{"index": 1}]

    def resize_tensor_input(self, index, shape):
        self.shape = shape

    def allocate_tensors(self):
        pass

    def set_tensor(self, index, value):
        assert list(value.shape) == self.shape and value.dtype == np.float32
        self.mel = value

    def invoke(self):
        noise = np.random.default_rng(0).standard_normal(300 * self.shape[1]).astype(np.float32)
        self.wave = 0.1 * noise

    def get_tensor(self, index):
        return self.wave[None, :, None]


def test_mb_melgan_standardises_its_mel_and_takes_any_length(tmp_path, voice):
    from masd.vocoders.mb_melgan import MEL

    (tmp_path / "m.tflite").write_bytes(b"x")
    stats = np.stack([np.linspace(-2, -1, 80), np.linspace(0.5, 1, 80)], axis=1).astype(np.float32)
    (tmp_path / "s.txt").write_text("# mean deviation\n" + "".join(f"{m} {s}\n" for m, s in stats))
    vocoder = get("mb_melgan", {"checkpoint": str(tmp_path / "m.tflite"), "stats": str(tmp_path / "s.txt")})
    fake = Interpreter()
    vocoder.model = (fake, stats)
    check(vocoder, voice)
    x = np.random.default_rng(0).standard_normal(24000).astype(np.float32)
    vocoder.synthesise(x, 0)
    want = (MEL(torch.from_numpy(x)).numpy().T - stats[:, 0]) / stats[:, 1]
    assert np.allclose(fake.mel[0], want, atol=1e-4)


def test_mb_melgan_says_what_is_wrong_with_its_files(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "m.tflite").write_bytes(b"no model")
    config = {"checkpoint": str(tmp_path / "m.tflite"), "stats": str(tmp_path / "s.txt")}
    for text, match in (("a b\n", r"s\.txt"), ("1 2\n", "80 lines"), ("1 -1\n" * 80, "positive deviation")):
        (tmp_path / "s.txt").write_text(text)
        with pytest.raises(MasdError, match=match):
            get("mb_melgan", config).prepare()
    (tmp_path / "s.txt").write_text("1 1\n" * 80)
    with pytest.raises(MasdError, match=r"m\.tflite: not a TensorFlow Lite model"):
        get("mb_melgan", config).prepare()


def test_the_recipes_mel_statistics_are_80_means_and_deviations():
    from pathlib import Path

    path = Path(__file__).parents[2] / "egs/mini/conf/mb_melgan_mel_stats.txt"
    stats = np.loadtxt(path)
    assert stats.shape == (80, 2) and np.all(stats[:, 1] > 0.1) and np.all(stats[:, 0] < 0)


def test_folding_and_random_checkpoints_are_inverse_to_each_other():
    state = random_state(hifigan.Generator(HIFIGAN))
    folded = fold_weight_norm(with_weight_norm(state))
    assert folded.keys() == state.keys()
    assert all(torch.allclose(folded[k], state[k], atol=1e-6) for k in state)
