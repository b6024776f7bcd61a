"""Fusion of the self-supervised and the handcrafted features by cross-attention (Sec. II-B, Eq. 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from masd.errors import MasdError


@dataclass
class FusionConfig:
    """Size and reading of Eq. 8.

    Args:
        ssl_dim: D, the dimension of f_SSL (130 for the pooled encoder, any for embeddings made elsewhere).
        hand_dim: H, the number of handcrafted features.
        d_k: the dimension of queries, keys and values.
        d_fused: the dimension of f_fused, the SVM's input.
        dropout: probability that an attention weight is dropped in training.
        tokens: `three` attends over one token a feature, each scalar with its own embedding and bias;
            `one` is the literal reading, f_hand as a single token, whose softmax is always 1.
    """

    ssl_dim: int = 130
    hand_dim: int = 3
    d_k: int = 64
    d_fused: int = 256
    dropout: float = 0.1
    tokens: Literal["three", "one"] = "three"


class Fusion(nn.Module):
    """Q = W_Q f_SSL, K = W_K f_hand, V = W_V f_hand, h = softmax(Q K^T / sqrt(d_k)) V,
    f_fused = LayerNorm(W_o [f_SSL; h]).

    The layer norm has no scale or offset of its own: each output has mean 0 and variance 1 over its
    dimensions, which fixes the scale the kernel sees. With D = 130 and H = 3 that leaves 58,368
    parameters with one token and 58,752 with three (the 384 are the tokens' biases).

    Raises:
        MasdError: the configuration names an unknown reading of the tokens.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        if config.tokens not in ("three", "one"):
            raise MasdError(f"fusion tokens: '{config.tokens}' is neither 'three' nor 'one'")
        self.config = config
        self.w_q = nn.Linear(config.ssl_dim, config.d_k, bias=False)
        self.w_k = nn.Parameter(torch.empty(config.hand_dim, config.d_k))
        self.w_v = nn.Parameter(torch.empty(config.hand_dim, config.d_k))
        self.w_o = nn.Linear(config.ssl_dim + config.d_k, config.d_fused, bias=False)
        if config.tokens == "three":
            self.b_k = nn.Parameter(torch.empty(config.hand_dim, config.d_k))
            self.b_v = nn.Parameter(torch.empty(config.hand_dim, config.d_k))
        for weight in self.parameters():
            nn.init.xavier_uniform_(weight)

    def tokens(self, f_hand: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (B, n, d_k) of f_hand (B, H): n = H tokens, or 1 in the literal reading."""
        if self.config.tokens == "one":
            return (f_hand @ self.w_k)[:, None], (f_hand @ self.w_v)[:, None]
        return f_hand[..., None] * self.w_k + self.b_k, f_hand[..., None] * self.w_v + self.b_v

    def attend(self, f_ssl: Tensor, f_hand: Tensor) -> tuple[Tensor, Tensor]:
        """Return the attention weights (B, n), each row summing to 1, and the values (B, n, d_k)."""
        keys, values = self.tokens(f_hand)
        logits = (keys @ self.w_q(f_ssl)[..., None])[..., 0] / self.config.d_k**0.5
        return logits.softmax(dim=-1), values

    def forward(self, f_ssl: Tensor, f_hand: Tensor) -> Tensor:
        """Return f_fused (B, d_fused) for f_SSL (B, D) and f_hand (B, H), both standardised."""
        weights, values = self.attend(f_ssl, f_hand)
        weights = functional.dropout(weights, self.config.dropout, self.training)
        h = (weights[..., None] * values).sum(dim=1)
        out = self.w_o(torch.cat([f_ssl, h], dim=-1))
        return functional.layer_norm(out, (self.config.d_fused,))

    @torch.no_grad()
    def attention(self, f_ssl: Tensor, f_hand: Tensor) -> Tensor:
        """Return the attention weights (B, n) over the handcrafted tokens, for reports."""
        return self.attend(f_ssl, f_hand)[0]
