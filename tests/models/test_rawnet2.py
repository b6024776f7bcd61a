"""RawNet2 and LCNN: the published sizes, names and building blocks."""

import torch

from masd.models.lcnn import Lcnn, MaxFeatureMap
from masd.models.rawnet2 import RawNet2, RawNet2Config


def published_names():
    """Names and shapes of the baseline's release, written down from its description."""
    shapes = {}

    def norm(name, size):
        shapes.update(
            {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}
        )
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("first_bn", 20)
    inputs = 20
    for k, outputs in enumerate((20, 20, 128, 128, 128, 128)):
        if k:
            norm(f"block{k}.0.bn1", inputs)
        norm(f"block{k}.0.bn2", outputs)
        for conv, size in (("conv1", inputs), ("conv2", outputs)):
            shapes |= {
                f"block{k}.0.{conv}.weight": (outputs, size, 3),
                f"block{k}.0.{conv}.bias": (outputs,),
            }
        if inputs != outputs:
            shapes |= {
                f"block{k}.0.conv_downsample.weight": (outputs, inputs, 1),
                f"block{k}.0.conv_downsample.bias": (outputs,),
            }
        shapes |= {
            f"fc_attention{k}.0.weight": (outputs, outputs),
            f"fc_attention{k}.0.bias": (outputs,),
        }
        inputs = outputs
    norm("bn_before_gru", 128)
    for layer in range(3):
        size = 128 if layer == 0 else 1024
        shapes |= {
            f"gru.weight_ih_l{layer}": (3072, size), f"gru.weight_hh_l{layer}": (3072, 1024),
            f"gru.bias_ih_l{layer}": (3072,), f"gru.bias_hh_l{layer}": (3072,),
        }  # fmt: skip
    shapes |= {"fc1_gru.weight": (1024, 1024), "fc1_gru.bias": (1024,)}
    return shapes | {"fc2_gru.weight": (2, 1024), "fc2_gru.bias": (2,)}


def test_names_and_shapes_are_the_released_ones():
    state = RawNet2().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_names()
    assert sum(p.numel() for p in RawNet2().parameters()) == 17_621_410


def test_maps_are_scaled_and_shifted_by_their_gate():
    """x s + s after each block: with the gate's weights at zero, s = 1/2 everywhere."""
    torch.manual_seed(0)
    net = RawNet2(RawNet2Config(channels=(20,), gru=8, gru_layers=1, dim=4)).eval()
    torch.nn.init.zeros_(net.fc_attention0[0].weight)
    torch.nn.init.zeros_(net.fc_attention0[0].bias)
    seen = {}
    net.block0.register_forward_hook(lambda _, __, y: seen.update(block=y))
    net.bn_before_gru.register_forward_hook(lambda _, x, __: seen.update(after=x[0]))
    embedding, logits = net(torch.randn(2, 8000))
    torch.testing.assert_close(seen["after"], (seen["block"] + 1) / 2)
    assert embedding.shape == (2, 4)
    assert logits.shape == (2, 2)


def test_max_feature_map_takes_the_larger_half():
    x = torch.tensor([[1.0, -2.0, 0.0, 5.0]])[:, :, None, None]
    assert MaxFeatureMap()(x).flatten().tolist() == [1.0, 5.0]


def test_lcnn_has_the_baselines_layers_and_one_output_in_two_logits():
    torch.manual_seed(0)
    net = Lcnn().eval()
    # 9 convolutions, 2 BLSTM layers of 96 -> 2 x 48, one output
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 64, 96, 96, 128, 128, 64, 64, 64]
    embedding, logits = net(torch.randn(3, 16000))
    assert embedding.shape == (3, 96)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], net.output(embedding)[:, 0])
