"""What a network takes at least on a GPU, by the data sheet: an estimate where there is none to measure.

Each operation takes the longest of its arithmetic, its traffic with memory and its launch. The shares of the
data sheet's rates that are reached, and the time of a launch, are assumed (tests/benchmarks/rates.yaml).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_VIEWS = ("view", "expand", "slice", "select", "unsqueeze", "squeeze", "transpose", "t", "permute", "detach")
_VIEWS += ("as_strided", "alias", "split", "chunk", "unbind", "split_with_sizes", "_unsafe_view", "empty")


class Work(TorchDispatchMode):
    """Notes the floating-point operations and the bytes of each operation in the block, on any device.

    Attributes:
        done: (operations, bytes) of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[float, float]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet.__name__ not in _VIEWS:
            count = flop_registry[packet](*args, **kwargs, out_val=out) if packet in flop_registry else 0
            tensors = [one for one in tree_leaves((args, kwargs, out)) if isinstance(one, Tensor)]
            self.done.append((float(count), float(sum(one.numel() * one.element_size() for one in tensors))))
        return out


def seconds(work: Work, arithmetic: float, bandwidth: float, launch: float, times: float = 1.0) -> float:
    """Return how long work takes.

    Args:
        work: what is to be done.
        arithmetic: operations a second that are reached.
        bandwidth: bytes a second that are reached.
        launch: seconds that an operation takes at least.
        times: how many times as large each operation is as it was noted, in larger batches.
    """
    return sum(max(times * n / arithmetic, times * size / bandwidth, launch) for n, size in work.done)


Network = tuple[nn.Module, Callable[[nn.Module, Tensor], object], int]


def published() -> dict[str, Callable[[], Network]]:
    """Return, by name, what makes each network of stage 2 in its published size, with random weights.

    A network, what computes with it from log-mels (B, 80, T), 256 samples a frame, and its rate in Hz.
    """
    from masd.vocoders import bigvgan, hifigan, melgan, waveglow
    from masd.vocoders.network import generators

    v1 = {"resblock": "1", "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3}
    v1 |= {"num_mels": 80, "upsample_rates": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4]}
    v1["upsample_initial_channel"] = 512
    big = v1 | {"upsample_rates": [4, 4, 2, 2, 2, 2], "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4]}
    big |= {"upsample_initial_channel": 1536, "activation": "snakebeta", "snake_logscale": True}
    big |= {"use_bias_at_final": False, "use_tanh_at_final": False}

    def flow() -> nn.Module:
        made = waveglow.Flow(80, [8] * 4 + [6] * 4 + [4] * 4, 512, 8, 3)
        for one in made.convinv:  # drawn at random it may have no inverse
            nn.init.dirac_(one.conv.weight)
        return made

    def univnet() -> nn.Module:
        from transformers import UnivNetConfig, UnivNetModel

        return UnivNetModel(UnivNetConfig())  # its defaults are the published c32

    def with_noise(network: Any, mel: Tensor) -> object:
        noise = torch.zeros(len(mel), mel.shape[2], network.config.model_in_channels, device=mel.device)
        bands = F.pad(mel.transpose(1, 2), (0, network.config.num_mel_bins - mel.shape[1]))
        return network(input_features=bands, noise_sequence=noise)

    def with_latent(network: nn.Module, mel: Tensor) -> object:
        return network(mel, 0.6, generators([0] * len(mel)))

    def plain(network: nn.Module, mel: Tensor) -> object:
        return network(mel)

    return {
        "melgan": lambda: (melgan.DescriptGenerator(80, 32, 3), plain, 22050),
        "hifigan": lambda: (hifigan.Generator(v1), plain, 22050),
        "univnet": lambda: (univnet(), with_noise, 24000),
        "bigvgan": lambda: (bigvgan.Generator(big), plain, 22050),
        "waveglow": lambda: (flow(), with_latent, 22050),
    }


def vocoders(audio: float = 16.0) -> dict[str, Work]:
    """Return the work of each network of stage 2 on `audio` seconds, counted without computing."""
    found = {}
    for name, make in published().items():
        with torch.device("meta"), torch.no_grad():
            network, call, rate = make()
            mel = torch.zeros(1, 80, round(audio * rate / 256))
            with Work() as found[name]:
                call(network, mel)
    return found


def pretraining_step(items: int = 2, precision: str = "bf16") -> Work:
    """Return the work of a step on all three objectives and full crops, `items` of them, on the CPU.

    AdamW's is left out: it is that of the parameters, whatever the batch.
    """
    from masd.models.encoder import Encoder
    from masd.ssl.config import PretrainConfig
    from masd.ssl.objective import Batch, Objective

    objective = Objective(Encoder(), PretrainConfig(precision=precision), ["a", "b"])
    batch = Batch(torch.zeros(items, 401, 64), torch.full((items,), 401), torch.arange(items) % 3 - 1)
    with Work() as work:
        objective(batch, torch.Generator().manual_seed(0))[0].backward()
    return work
