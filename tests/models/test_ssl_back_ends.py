"""SLS, Nes2Net, MHFA, AntiDeepfake: the published sizes, formulas in loops, gradients, frozen front ends."""

import pytest
import torch
from fairseq_names import GROUP, LAYER, SMALL
from torch.nn import functional as F

from masd.errors import MasdError
from masd.models.front_ends import NAMED, FrontEnd
from masd.systems.classifier import BACK_ENDS, on_front_ends

ARCHITECTURE = {"kind": "wav2vec2", **SMALL, **LAYER}


def small(system, tuned=True):
    torch.manual_seed(0)
    return on_front_ends(system, [ARCHITECTURE], tuned)


@pytest.mark.parametrize(
    ("system", "published"),
    [("sls", 23_399_429), ("nes2net", 512_039), ("mhfa", 1_316_436), ("antideepfake", 2050)],
)
def test_parameters_on_xls_r(system, published):
    """23,399 k (SLS) and 511 k (Nes2Net-X) in the Nes2Net paper's table."""
    with torch.device("meta"):
        net = on_front_ends(system, [NAMED["wav2vec2_xlsr_300m"]])
    of_front_end = sum(p.numel() for p in net.front_ends.parameters())
    assert sum(p.numel() for p in net.parameters()) - of_front_end == published


@pytest.mark.parametrize("system", BACK_ENDS)
def test_shapes_and_gradients(system):
    torch.manual_seed(0)
    net, x = on_front_ends(system, [ARCHITECTURE | {"dim": 256, "heads": 4}]), torch.randn(2, 64600)
    embedding, logits = net(x)
    assert embedding.shape == (2, net.dim) and logits.shape == (2, 2)
    (logits[:, 1] - logits[:, 0]).square().sum().backward()
    unmoved = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert unmoved <= {"front_ends.0.model.encoder.transformer.layer_norm.weight"} | {
        name for name in unmoved if name.endswith("bias")
    }, "SLS takes the layers before their final norm; a constant passes no batch norm"
    assert net.front_ends[0].model.feature_extractor.conv_layers[0].conv.weight.grad.any()


@pytest.mark.parametrize("system", BACK_ENDS)
def test_frozen_front_ends_stay_as_they_evaluate(system):
    net = small(system, tuned=False).train()
    net(torch.randn(2, 64600))[1].sum().backward()
    assert net.training and not net.front_ends.training
    assert all(p.grad is None for p in net.front_ends.parameters())


def test_sls_is_the_formula_in_a_loop():
    net, x = small("sls").eval(), torch.randn(2, 64600)
    layers = net.front_ends[0].all_layers(x)
    total = torch.zeros_like(layers[0])
    for layer in layers:
        gate = torch.sigmoid(layer.mean(1) @ net.fc0.weight[0] + net.fc0.bias)
        total += gate[:, None, None] * layer
    y = F.selu(total / (1 + net.first_bn.eps) ** 0.5)
    y = y[:, : 3 * 67, : 3 * 21].unfold(1, 3, 3).unfold(2, 3, 3).amax((3, 4)).flatten(1)
    embedding = F.selu(y @ net.fc1.weight.T + net.fc1.bias)
    torch.testing.assert_close(net(x)[0], embedding, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(x)[1], F.selu(embedding @ net.fc3.weight.T + net.fc3.bias))
    with pytest.raises(MasdError, match=r"sls takes 64600 samples, not 16000"):
        net(torch.randn(1, 16000))


def test_mhfa_is_the_formula_in_a_loop():
    net, x = small("mhfa").eval(), torch.randn(1, 16000)
    with torch.no_grad():
        net.weights_k.copy_(torch.tensor([1.0, 0.5, -1.0]))
    states = net.front_ends[0].hidden_states(x)[:, 0]
    keys = values = 0
    for number, frames in enumerate(states):
        frames = frames - frames.mean(1, keepdim=True)
        keys = keys + net.weights_k.softmax(0)[number] * frames
        values = values + net.weights_v.softmax(0)[number] * frames
    keys, values = net.cmp_linear_k(keys), net.cmp_linear_v(values)
    heads = [net.att_head(keys)[:, head].softmax(0) @ values for head in range(32)]
    torch.testing.assert_close(net(x)[0][0], net.pooling_fc(torch.cat(heads)), rtol=1e-4, atol=1e-5)


def test_a_res2net_of_nes2net_is_the_formula_in_a_loop():
    """Split i joins the earlier ones side by side; all go through one convolution and are summed."""
    torch.manual_seed(0)
    from masd.models.nes2net import WeightedRes2Net

    block, x = WeightedRes2Net(16).eval(), torch.randn(2, 16, 20)
    norm = (1 + block.bn1.eps) ** -0.5
    splits = (F.relu(block.conv1(x)) * norm).chunk(8, 1)
    sides, outputs = [splits[7]], []
    for i in range(7):
        weight, bias = block.convs[i].weight[..., 0], block.convs[i].bias
        sides = [
            F.relu(F.conv1d(one, weight, bias, dilation=2, padding=2)) * norm for one in (*sides, splits[i])
        ]
        outputs.append(sum(sides) / (i + 2))
    y = F.relu(block.conv3(torch.cat([*outputs, splits[7]], 1))) * norm
    gate = torch.sigmoid(block.se.se[3](F.relu(block.se.se[1](y.mean(2, keepdim=True)))))
    torch.testing.assert_close(block(x), x + y * gate)


@pytest.mark.parametrize("norm", [GROUP, LAYER])
def test_hidden_states_are_what_transformers_calls_so(norm, tmp_path):
    """What enters the first layer, and the last as the model's output; layers between as they are."""
    torch.manual_seed(0)
    end, x = FrontEnd({"kind": "wav2vec2", **SMALL, **norm}).eval(), torch.randn(2, 6000)
    with torch.no_grad():
        states = end.hidden_states(x)
        torch.testing.assert_close(states[-1], end(x))
        torch.testing.assert_close(states[1:-1], end.all_layers(x)[:-1])
        torch.testing.assert_close(end.model.encoder.transformer.layers[0](states[0])[0], states[1])
    assert states.shape == (3, 2, end.frames(6000), 64)
