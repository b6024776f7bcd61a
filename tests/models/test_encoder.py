"""The encoder's layout, its independence of batching, and its files."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.models.encoder import Encoder, EncoderConfig, load_encoder, save_encoder, save_half
from masd.models.fusion import Fusion, FusionConfig
from masd.stage.files import read_yaml

TINY = {"channels": (8, 8, 8, 8, 8), "dim": 12}


def tiny(**keys) -> Encoder:
    torch.manual_seed(3)
    return Encoder(EncoderConfig(**TINY, **keys))


def randomised(encoder: Encoder) -> Encoder:
    """Batch-norm statistics, affine maps and alpha that differ from their initial values."""
    gen = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, value in [*encoder.named_parameters(), *encoder.named_buffers()]:
            if "norm" in name or "alpha" in name or "mel" in name:
                value.copy_(0.5 + torch.rand(value.shape, generator=gen))
    return encoder


@pytest.mark.parametrize(("batch_norm", "expected"), [("shared", 2_926_211), ("per_band", 2_936_195)])
def test_parameter_count(batch_norm, expected):
    count = sum(p.numel() for p in Encoder(EncoderConfig(batch_norm=batch_norm)).parameters())
    assert count == expected
    assert round(count / 1e6, 1) == 2.9


@pytest.mark.parametrize(("stride", "frames"), [((2, 2, 1, 1, 1), 101), ((2, 2, 2, 2, 2), 13)])
def test_output_frames_of_four_seconds(stride, frames):
    encoder = tiny(time_stride=stride).eval()
    z, lengths = encoder(torch.randn(1, 401, 64), torch.tensor([401]))
    assert z.shape == (1, 3, frames, 12)
    assert lengths.tolist() == [frames]


def test_single_band_has_one_sequence():
    encoder = tiny(bands="single").eval()
    z, _ = encoder(torch.randn(1, 40, 64), torch.tensor([40]))
    assert z.shape[1] == encoder.num_bands == 1
    torch.testing.assert_close(encoder.fuse(z), z[:, 0])


def test_output_does_not_depend_on_the_batch():
    """An utterance alone gives what it gives padded, beside others, whatever stands in the padding."""
    encoder = randomised(Encoder()).eval()
    lengths = torch.tensor([97, 40, 61, 1])
    mel = torch.randn(4, 97, 64) - 5
    padded = mel.clone()
    for item, length in enumerate(lengths):
        padded[item, length:] = float("nan") if item % 2 else 1e5
    with torch.no_grad():
        z, out = encoder(padded, lengths)
        for item, length in enumerate(lengths):
            alone, count = encoder(mel[item : item + 1, :length], lengths[item : item + 1])
            assert count[0] == out[item]
            torch.testing.assert_close(z[item, :, : count[0]], alone[0], atol=1e-5, rtol=1e-5)
            assert (z[item, :, count[0] :] == 0).all()


def test_gradients_do_not_depend_on_the_padding():
    encoder = tiny().train()
    lengths = torch.tensor([30, 17])
    gradients = []
    for fill in (0.0, 50.0):
        mel = torch.randn(2, 30, 64, generator=torch.Generator().manual_seed(0))
        mel[1, 17:] = fill
        encoder.zero_grad()
        encoder(mel, lengths)[0].square().sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


def reference_band(encoder: Encoder, x: torch.Tensor, band: int) -> torch.Tensor:
    """A band of an unpadded batch (B, T, F) step by step from the description, time before frequency."""

    def conv(y, weight, stride=(1, 1), padding=1):
        return F.conv2d(y, weight.transpose(2, 3), None, stride, padding)

    def norm(y, module):
        m = module[band if len(module) > 1 else 0]
        mean, var, w, b = (v[None, :, None, None] for v in (m.running_mean, m.running_var, m.weight, m.bias))
        return (y - mean) / torch.sqrt(var + 1e-5) * w + b

    y = ((x - encoder.mel_mean) / encoder.mel_std)[:, None]
    y = y[..., slice(*encoder.ranges[band])]
    for i, block in enumerate(encoder.blocks):
        stride = (encoder.config.time_stride[i], encoder.config.freq_stride[i])
        inner = torch.relu(norm(conv(y, block.conv1.weight, stride), block.norm1))
        skip = norm(conv(y, block.skip.weight, stride, 0), block.norm_skip)
        y = torch.relu(norm(conv(inner, block.conv2.weight), block.norm2) + skip)
    return y.mean(3).transpose(1, 2) @ encoder.project.weight.T + encoder.project.bias


@pytest.mark.parametrize("batch_norm", ["per_band", "shared"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_each_band_follows_the_description(batch_norm, layout):
    """conv-BN-ReLU-conv-BN + 1x1 conv-BN, ReLU; mean over frequency; linear; weights shared (Eq. 1)."""
    encoder = randomised(tiny(batch_norm=batch_norm)).eval().to(memory_format=layout)
    x = torch.randn(2, 33, 64) - 4
    with torch.no_grad():
        z, _ = encoder(x, torch.tensor([33, 33]))
        for band in range(3):
            torch.testing.assert_close(z[:, band], reference_band(encoder, x, band), atol=1e-4, rtol=1e-4)


def test_fusion_is_the_softmax_weighted_sum():
    encoder = tiny()
    with torch.no_grad():
        encoder.alpha_logits.copy_(torch.tensor([0.3, -1.0, 2.0]))
    z = torch.randn(2, 3, 4, 12)
    weights = torch.exp(torch.tensor([0.3, -1.0, 2.0]))
    weights /= weights.sum()
    expected = sum(weights[j] * z[:, j] for j in range(3))
    torch.testing.assert_close(encoder.fuse(z), expected)
    assert not tiny(fuse_weights="fixed").alpha_logits.requires_grad


def test_alpha_begins_equal():
    torch.testing.assert_close(tiny().alpha.detach(), torch.full((3,), 1 / 3))


def test_raw_input_ignores_statistics():
    encoder = tiny(normalise="raw")
    encoder.set_statistics(torch.full((64,), 3.0), torch.full((64,), 2.0))
    x = torch.randn(1, 5, 64)
    assert torch.equal(encoder.standardise(x), x)


def test_saved_encoder_comes_back(tmp_path):
    encoder, feats = randomised(tiny(batch_norm="shared")).eval(), FeatsConfig(dither=0.0)
    save_encoder(tmp_path, encoder, encoder.config, feats, {"epoch": 3})
    loaded, config, loaded_feats = load_encoder(tmp_path)
    assert (config, loaded_feats) == (encoder.config, feats)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    mel, lengths = torch.randn(2, 30, 64), torch.tensor([30, 12])
    with torch.no_grad():
        assert torch.equal(loaded(mel, lengths)[0], encoder(mel, lengths)[0])


def test_weights_that_do_not_fit_are_named(tmp_path):
    encoder = tiny()
    save_encoder(tmp_path, encoder, EncoderConfig(channels=(8, 8, 8, 8, 16), dim=12), FeatsConfig(), {})
    with pytest.raises(MasdError, match=r"tensor blocks\.4\.conv1\.weight is \(8, 8, 3, 3\)"):
        load_encoder(tmp_path)


def test_damaged_and_unknown_are_one_clear_line(tmp_path):
    encoder = tiny()
    save_encoder(tmp_path, encoder, encoder.config, FeatsConfig(), {})
    (tmp_path / "encoder.safetensors").write_bytes(b"not tensors")
    with pytest.raises(MasdError, match=r"encoder\.safetensors: cannot be read as safetensors"):
        load_encoder(tmp_path)
    text = (tmp_path / "encoder.yaml").read_text().replace("dim: 12", "dimm: 12")
    (tmp_path / "encoder.yaml").write_text(text)
    with pytest.raises(MasdError, match=r"unknown key 'dimm' for EncoderConfig"):
        load_encoder(tmp_path)


def test_strides_must_match_the_blocks():
    with pytest.raises(MasdError, match="one value a block"):
        EncoderConfig(time_stride=(2, 2))


def test_no_strided_pointwise_convolution():
    """oneDNN's weight gradient of one corrupts memory (float32, channels_last, one input channel)."""
    convolutions = [m for m in tiny().modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(c.stride == (1, 1) for c in convolutions if c.kernel_size == (1, 1))


@pytest.mark.parametrize("batch_norm", ["per_band", "shared"])
@pytest.mark.parametrize(("int8", "far"), [(False, 0.01), (True, 0.05)])
def test_half_precision_there_and_back(batch_norm, int8, far, tmp_path):
    """Folded and rounded to 11 or 8 bits, an encoder gives what the whole one does, with padding too."""
    encoder = randomised(tiny(batch_norm=batch_norm)).eval()
    save_encoder(tmp_path / "whole", encoder, encoder.config, FeatsConfig(), {"seed": 7})
    save_half(tmp_path / "half", encoder, read_yaml(tmp_path / "whole" / "encoder.yaml"), int8)
    small, config, _ = load_encoder(tmp_path / "half")
    assert config == encoder.config
    mel, lengths = torch.randn(2, 61, 64), torch.tensor([61, 40])
    with torch.inference_mode():
        z, one = encoder(mel, lengths)[0], small(mel, lengths)[0]
    assert 0 < (z - one).abs().max() < far * z.abs().max()
    assert small.alpha.tolist() == pytest.approx(encoder.alpha.tolist(), abs=1e-3)


def test_encoder_and_fusion_in_half_precision_are_under_6_mb(tmp_path):
    from safetensors.torch import save

    encoder = Encoder().eval()
    save_encoder(tmp_path / "whole", encoder, encoder.config, FeatsConfig(), {})
    save_half(tmp_path / "half", encoder, read_yaml(tmp_path / "whole" / "encoder.yaml"))
    save_half(tmp_path / "int8", encoder, read_yaml(tmp_path / "whole" / "encoder.yaml"), int8=True)
    assert (tmp_path / "int8" / "encoder.safetensors").stat().st_size < 3.1e6
    fusion = {name: value.half() for name, value in Fusion(FusionConfig()).state_dict().items()}
    assert (tmp_path / "half" / "encoder.safetensors").stat().st_size + len(save(fusion)) < 6e6


def test_a_tensor_that_half_precision_keeps_must_be_there(tmp_path):
    from safetensors.torch import load_file, save_file

    encoder = tiny().eval()
    save_encoder(tmp_path, encoder, encoder.config, FeatsConfig(), {})
    save_half(tmp_path, encoder, read_yaml(tmp_path / "encoder.yaml"))
    state = load_file(tmp_path / "encoder.safetensors")
    del state["blocks.2.norm1.1.weight"]
    save_file(state, tmp_path / "encoder.safetensors")
    with pytest.raises(MasdError, match=r"blocks\.2\.norm1\.1\.weight is nothing"):
        load_encoder(tmp_path)
