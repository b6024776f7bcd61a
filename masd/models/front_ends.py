"""wav2vec 2.0, XLS-R, HuBERT and WavLM on torchaudio's architectures, from checkpoints of three formats.

A checkpoint is a torchaudio state dict, a fairseq file (also the WavLM authors'), or a Hugging Face folder
or file. It is read without running any of its code; fairseq is not needed. The architecture is told by
the tensors' shapes, and by config.json where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.errors import MasdError
from masd.models.state import State, load_state, read_checkpoint
from masd.stage.files import read_json

Architecture = dict[str, Any]

_COMMON = {
    "convs": [[512, 10, 5], *[[512, 3, 2]] * 4, *[[512, 2, 2]] * 2], "pos_kernel": 128, "pos_groups": 16,
}  # fmt: skip
_BASE = {
    "norm": "group_norm", "bias": False, "dim": 768, "layers": 12, "heads": 12, "ff": 3072, "first": False,
}  # fmt: skip
_LARGE = {
    "norm": "layer_norm", "bias": True, "dim": 1024, "layers": 24, "heads": 16, "ff": 4096, "first": True,
}  # fmt: skip
_WAVLM = {"kind": "wavlm", "buckets": 320, "distance": 800}
NAMED: dict[str, Architecture] = {
    "wav2vec2_base": {"kind": "wav2vec2", **_COMMON, **_BASE},
    "wav2vec2_xlsr_300m": {"kind": "wav2vec2", **_COMMON, **_LARGE},
    "hubert_base": {"kind": "wav2vec2", **_COMMON, **_BASE},
    "hubert_large": {"kind": "wav2vec2", **_COMMON, **_LARGE, "bias": False},
    "wavlm_base": {**_WAVLM, **_COMMON, **_BASE},
    "wavlm_large": {**_WAVLM, **_COMMON, **_LARGE, "bias": False},
}
"""Published architectures by torchaudio's names; HuBERT's is wav2vec 2.0's."""

# (pattern, replacement) from fairseq's and Hugging Face's names to torchaudio's
_RULES = [
    (r"^(?:w2v_encoder\.)?(?:w2v_model|wav2vec2|hubert|wavlm)\.", ""),
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (r"^feature_extractor\.conv_layers\.(\d+)\.2(?:\.1)?\.", r"feature_extractor.conv_layers.\1.layer_norm."),
    (r"^post_extract_proj\.", "encoder.feature_projection.projection."),
    (r"^layer_norm\.", "encoder.feature_projection.layer_norm."),
    (r"^feature_projection\.", "encoder.feature_projection."),
    (r"^encoder\.pos_conv\.0\.", "encoder.transformer.pos_conv_embed.conv."),
    (r"^encoder\.(pos_conv_embed|layer_norm|layers)\.", r"encoder.transformer.\1."),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
    (r"\.attention\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.attention\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.attention\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.conv\.weight_g$", ".conv.parametrizations.weight.original0"),
    (r"\.conv\.weight_v$", ".conv.parametrizations.weight.original1"),
]
# what only pretraining or recognition needs
_OTHER = (
    r"mask_emb|masked_spec_embed|quantizer|project_q|project_hid|final_proj|label_embs|lm_head|proj\.|aux\."
)
_POS = "encoder.transformer.pos_conv_embed.conv."


class FrontEnd(nn.Module):
    """A pretrained transformer on waveforms, one frame each 20 ms.

    Args:
        architecture: as `infer` returns it, or of `NAMED`; `normalise` says whether waveforms are scaled to
            zero mean and unit variance, else they are where the extractor has layer norms.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.model = build(architecture)

    @property
    def dim(self) -> int:
        """Dimension of a frame."""
        return int(self.architecture["dim"])

    @property
    def layers(self) -> int:
        """Number of transformer layers."""
        return int(self.architecture["layers"])

    def frames(self, samples: int) -> int:
        """Return how many frames a waveform of so many samples has."""
        for _, kernel, stride in self.architecture["convs"]:
            samples = (samples - kernel) // stride + 1
        return samples

    def _input(self, x: Tensor) -> Tensor:
        # models with a layer-norm extractor were pretrained on waveforms of zero mean and unit variance
        layer_norm = self.architecture["norm"] == "layer_norm"
        return F.layer_norm(x, x.shape[1:]) if self.architecture.get("normalise", layer_norm) else x

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's frames (B, T, D) of waveforms (B, N) at 16 kHz."""
        return self.model(self._input(x))[0]

    def all_layers(self, x: Tensor) -> Tensor:
        """Return every layer's frames (L, B, T, D)."""
        return torch.stack(self.model.extract_features(self._input(x))[0])

    def hidden_states(self, x: Tensor) -> Tensor:
        """Return (L + 1, B, T, D): what enters the first layer, each layer's frames, last `forward`'s."""
        transformer, entered = self.model.encoder.transformer, []
        hook = transformer.layers[0].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
        try:
            *layers, last = self.model.extract_features(self._input(x))[0]
        finally:
            hook.remove()
        if self.architecture["first"]:
            last = transformer.layer_norm(last)
        return torch.stack([entered[0], *layers, last])


class OnFrontEnds:
    """What networks on pretrained front ends share; stands before `nn.Module` among a class's bases.

    Attributes:
        front_ends: the front ends.
        tuned: whether they are trained on; else they are frozen and stay in evaluation mode.
    """

    front_ends: nn.ModuleList
    tuned: bool

    def attach(self, front_ends: Sequence[FrontEnd], tuned: bool) -> None:
        """Take the front ends; called once, after the module was made."""
        self.front_ends, self.tuned = nn.ModuleList(front_ends), tuned
        self.front_ends.requires_grad_(tuned)

    def train(self, mode: bool = True) -> nn.Module:
        """Set training mode; frozen front ends stay as they evaluate."""
        super().train(mode)  # type: ignore[misc]
        if not self.tuned:
            self.front_ends.eval()
        return self  # type: ignore[return-value]

    def front_end_grad(self) -> torch.set_grad_enabled:
        """Return a context in which frozen front ends keep nothing for gradients."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and self.tuned)


def build(architecture: Architecture) -> nn.Module:
    """Return torchaudio's model of an architecture, with random weights and without dropout."""
    from torchaudio.models import wav2vec2_model, wavlm_model

    a = architecture
    options: dict[str, Any] = {
        "extractor_mode": a["norm"],
        "extractor_conv_layer_config": [tuple(layer) for layer in a["convs"]],
        "extractor_conv_bias": a["bias"],
        "encoder_embed_dim": a["dim"],
        "encoder_pos_conv_kernel": a["pos_kernel"],
        "encoder_pos_conv_groups": a["pos_groups"],
        "encoder_num_layers": a["layers"],
        "encoder_num_heads": a["heads"],
        "encoder_ff_interm_features": a["ff"],
        "encoder_layer_norm_first": a["first"],
        "encoder_layer_drop": 0.0,
        "aux_num_out": None,
    }
    for key in ("projection", "attention", "ff_interm"):
        options[f"encoder_{key}_dropout"] = 0.0
    options["encoder_dropout"] = 0.0
    if a["kind"] == "wavlm":
        return wavlm_model(**options, encoder_num_buckets=a["buckets"], encoder_max_distance=a["distance"])
    return wav2vec2_model(**options)


def read_front_end(path: str | Path) -> FrontEnd:
    """Read a published checkpoint.

    Args:
        path: a torchaudio or fairseq file, or a Hugging Face folder (config.json beside its weights) or file.

    Raises:
        MasdError: it cannot be read, is no such model, or its tensors do not fit the architecture; the first
            name and shape that differ are given.
    """
    path = Path(path)
    file = path
    if path.is_dir():
        names = ("model.safetensors", "pytorch_model.bin")
        file = next((path / name for name in names if (path / name).is_file()), path / names[0])
    state = to_torchaudio(read_state(file))
    if "feature_extractor.conv_layers.0.conv.weight" not in state:
        raise MasdError(f"{file}: no wav2vec 2.0, HuBERT or WavLM (no feature_extractor.conv_layers.0)")
    settings = file.parent / "config.json"
    front_end = FrontEnd(infer(state, read_json(settings) if settings.is_file() else {}, file))
    load_state(front_end.model, state, file)
    return front_end


def read_state(path: str | Path) -> State:
    """Return the tensors of a checkpoint, by name.

    fairseq files hold its settings as objects of its own classes; inert stand-ins take their place, so that
    none of its code, nor any other's, is run.
    """
    if Path(path).suffix == ".safetensors" or not Path(path).is_file():
        return read_checkpoint(path)
    inert: list[tuple[type, str]] = []
    with torch.serialization.safe_globals(inert):
        while len(inert) < 50:
            name = _refused(path, inert)
            if name is None:
                break
            inert.append((type("Inert", (), {"__init__": _ignore, "__setstate__": _ignore}), name))
        with torch.serialization.safe_globals(inert):
            return read_checkpoint(path, ("model", "state_dict"))


def _ignore(self: object, *values: object, **named: object) -> None:
    """Take anything and do nothing with it."""


def _refused(path: str | Path, inert: list[tuple[type, str]]) -> str | None:
    """Return the first class of fairseq, omegaconf or argparse in a file that torch would not make."""
    import pickle

    try:
        with torch.serialization.safe_globals(inert):
            torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ((?:fairseq|omegaconf|argparse)\.[\w.]+)", str(error))
        return found[1] if found else None
    except Exception:  # read_checkpoint says what is wrong
        return None
    return None


def to_torchaudio(state: State) -> State:
    """Return a state dict with torchaudio's names from one of fairseq's, Hugging Face's or torchaudio's.

    Tensors that only pretraining or recognition needs are left out; WavLM's query, key and value
    projections are put together as torchaudio holds them.
    """
    renamed: State = {}
    for name, value in state.items():
        for pattern, replacement in _RULES if not name.startswith("encoder.transformer.") else _RULES[-2:]:
            name = re.sub(pattern, replacement, name)
        if not re.match(_OTHER, name):
            renamed[name] = value
    for name in [n for n in renamed if n.endswith("attention.gru_rel_pos_const")]:
        prefix = name.removesuffix("gru_rel_pos_const")
        renamed[name] = renamed[name].reshape(1, -1, 1, 1)
        for part in ("weight", "bias"):
            names = [f"{prefix}{p}_proj.{part}" for p in "qkv"]
            if all(n in renamed for n in names):
                renamed[f"{prefix}attention.in_proj_{part}"] = torch.cat([renamed.pop(n) for n in names])
            if f"{prefix}out_proj.{part}" in renamed:
                renamed[f"{prefix}attention.out_proj.{part}"] = renamed.pop(f"{prefix}out_proj.{part}")
    return renamed


def infer(state: State, settings: dict[str, Any], where: str | Path) -> Architecture:
    """Return the architecture that tensors (torchaudio's names) belong to.

    Strides (5, then 2) and the number of heads (of WavLM from its tensors, else dim / 64 up to 16) are what
    all published models have, unless config.json says otherwise.

    Args:
        state: the tensors.
        settings: Hugging Face's config.json, empty without one.
        where: the file, for messages.

    Raises:
        MasdError: a tensor that tells the architecture is missing.
    """
    try:
        convs = [state[f"feature_extractor.conv_layers.{k}.conv.weight"].shape for k in range(_convs(state))]
        dim = state["encoder.feature_projection.projection.weight"].shape[0]
        position = state[f"{_POS}parametrizations.weight.original1"].shape
        numbers = (re.match(r"encoder\.transformer\.layers\.(\d+)\.", name) for name in state)
        layers = 1 + max(int(number[1]) for number in numbers if number)
        wide = state["encoder.transformer.layers.0.feed_forward.intermediate_dense.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise MasdError(f"{where}: lacks the tensor {error} of a wav2vec 2.0 encoder") from None
    strides = settings.get("conv_stride", [5, *[2] * (len(convs) - 1)])
    norm = "feature_extractor.conv_layers.1.layer_norm.weight" in state
    gate = state.get("encoder.transformer.layers.0.attention.gru_rel_pos_const")
    heads = gate.numel() if gate is not None else min(max(dim // 64, 1), 16)
    architecture = {
        "kind": "wav2vec2" if gate is None else "wavlm",
        "norm": "layer_norm" if norm else "group_norm",
        "bias": "feature_extractor.conv_layers.0.conv.bias" in state,
        "convs": [[s[0], s[2], stride] for s, stride in zip(convs, strides, strict=True)],
        "dim": dim,
        "layers": layers,
        "heads": int(settings.get("num_attention_heads", heads)),
        "ff": wide,
        "first": bool(settings.get("do_stable_layer_norm", norm)),
        "pos_kernel": position[2],
        "pos_groups": dim // position[1],
    }
    if gate is not None:
        table = state["encoder.transformer.layers.0.attention.rel_attn_embed.weight"]
        distance = int(settings.get("max_bucket_distance", 800))
        architecture |= {"buckets": table.shape[0], "distance": distance}
    return architecture


def _convs(state: State) -> int:
    return sum(bool(re.match(r"feature_extractor\.conv_layers\.\d+\.conv\.weight", name)) for name in state)
