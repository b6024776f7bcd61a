"""Small front ends, and their tensors by the names that fairseq and the WavLM authors write."""

import re

import torch

SMALL = {
    "convs": [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2],
    "pos_kernel": 16, "pos_groups": 4, "dim": 64, "layers": 2, "heads": 1, "ff": 40,
}  # fmt: skip
GROUP = {"norm": "group_norm", "bias": False, "first": False}
LAYER = {"norm": "layer_norm", "bias": True, "first": True}


def to_fairseq(state):
    """Names as fairseq and the WavLM authors write them, undone from torchaudio's by hand."""
    table = {
        r"^feature_extractor\.conv_layers\.(\d+)\.conv\.": r"feature_extractor.conv_layers.\1.0.",
        r"^encoder\.feature_projection\.projection\.": "post_extract_proj.",
        r"^encoder\.feature_projection\.layer_norm\.": "layer_norm.",
        r"^encoder\.transformer\.pos_conv_embed\.conv\.bias": "encoder.pos_conv.0.bias",
        r"^encoder\.transformer\.pos_conv_embed\.conv\.parametrizations\.weight\.original0": (
            "encoder.pos_conv.0.weight_g"
        ),
        r"^encoder\.transformer\.pos_conv_embed\.conv\.parametrizations\.weight\.original1": (
            "encoder.pos_conv.0.weight_v"
        ),
        r"^encoder\.transformer\.layer_norm\.": "encoder.layer_norm.",
        r"^(encoder\.)transformer\.(layers\.\d+\.)layer_norm\.": r"\1\2self_attn_layer_norm.",
        r"^(encoder\.)transformer\.(layers\.\d+\.)attention\.attention\.": r"\1\2self_attn.",
        r"^(encoder\.)transformer\.(layers\.\d+\.)attention\.": r"\1\2self_attn.",
        r"^(encoder\.)transformer\.(layers\.\d+\.)": r"\1\2",
        r"feed_forward\.intermediate_dense\.": "fc1.",
        r"feed_forward\.output_dense\.": "fc2.",
        r"gru_rel_pos_linear\.": "grep_linear.",
        r"gru_rel_pos_const$": "grep_a",
        r"rel_attn_embed\.": "relative_attention_bias.",
    }
    layer_norm = "feature_extractor.conv_layers.1.layer_norm.weight" in state
    out = {}
    for name, value in state.items():
        inner = (
            r"feature_extractor.conv_layers.\1.2.1." if layer_norm else r"feature_extractor.conv_layers.\1.2."
        )
        name = re.sub(r"^feature_extractor\.conv_layers\.(\d+)\.layer_norm\.", inner, name)
        for pattern, replacement in table.items():
            name = re.sub(pattern, replacement, name)
        if name.rsplit(".", 1)[-1] in ("in_proj_weight", "in_proj_bias"):
            prefix, part = name.rsplit("in_proj_", 1)
            for letter, third in zip("qkv", value.chunk(3), strict=True):
                out[f"{prefix}{letter}_proj.{part}"] = third.clone()
            continue
        out[name] = value
    extra = {"mask_emb": torch.zeros(4), "final_proj.weight": torch.zeros(2, 2)}
    return out | extra | {"quantizer.vars": torch.zeros(1), "project_q.weight": torch.zeros(1)}
