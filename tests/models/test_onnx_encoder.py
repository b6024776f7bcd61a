"""The encoder's ONNX graph gives what the encoder gives."""

import numpy as np
import pytest
import torch

from masd.errors import MasdError
from masd.models.encoder import Encoder, EncoderConfig
from masd.models.onnx_encoder import OnnxEncoder, encoder_graph, quantised

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def made(**keys):
    torch.manual_seed(3)
    encoder = Encoder(EncoderConfig(channels=(8, 8, 8, 8, 8), dim=12, **keys)).eval().requires_grad_(False)
    for name, value in [*encoder.named_parameters(), *encoder.named_buffers()]:
        if "norm" in name or "mel" in name:
            value.copy_(
                torch.rand(value.shape) + (0.5 if "bias" not in name and "mean" not in name else -0.3)
            )
    return encoder


def run(graph, encoder, folder, mel, lengths):
    (folder / "encoder.onnx").write_bytes(graph)
    return OnnxEncoder(folder / "encoder.onnx", encoder.config)(mel, lengths)


@pytest.mark.parametrize(
    "keys",
    [{}, {"batch_norm": "shared", "normalise": "raw"}, {"bands": "single"}, {"time_stride": (2, 2, 2, 2, 2)}],
)
@pytest.mark.parametrize("lengths", [[61, 61], [61, 40]])
def test_the_graph_is_the_encoder(keys, lengths, tmp_path):
    """Also where items are of unequal length, which the encoder masks and the graph runs one by one."""
    encoder = made(**keys)
    mel, lengths = torch.randn(2, 61, 64), torch.tensor(lengths)
    z, frames = encoder(mel, lengths)
    assert z.std() > 0.03  # not the bias of the last layer alone
    found, kept = run(encoder_graph(encoder), encoder, tmp_path, mel, lengths)
    assert kept.tolist() == frames.tolist()
    torch.testing.assert_close(found, z, atol=1e-5, rtol=1e-4)


def test_eight_bits_are_near(tmp_path):
    encoder, rng = made(), np.random.default_rng(0)
    mels = [rng.normal(size=(50, 64)).astype(np.float32) for _ in range(4)]
    graph = quantised(encoder_graph(encoder), mels)
    mel = torch.from_numpy(mels[0])[None]
    z = encoder(mel, torch.tensor([50]))[0]
    off = (run(graph, encoder, tmp_path, mel, torch.tensor([50]))[0] - z).abs()
    assert 0 < off.max() < 0.1 * z.abs().max()


def test_what_is_no_graph(tmp_path):
    with pytest.raises(MasdError, match=r"encoder\.onnx: cannot be read"):
        OnnxEncoder(tmp_path / "encoder.onnx", EncoderConfig())
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(MasdError, match="not a graph onnxruntime can run"):
        OnnxEncoder(tmp_path / "encoder.onnx", EncoderConfig())
