"""Graph attention over spectral and temporal nodes: the back end of AASIST (Jung et al., ICASSP 2022).

Parameter names and shapes are those of the authors' released checkpoints, capitals included.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _weight(size: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(size, 1)))


def _pairs(x: Tensor) -> Tensor:
    """Return (B, N, N, D), the products of all pairs of nodes of x (B, N, D)."""
    return x[:, :, None] * x[:, None]


def _normed(bn: nn.BatchNorm1d, x: Tensor) -> Tensor:
    return bn(x.flatten(0, 1)).view_as(x)


class GraphAttention(nn.Module):
    """Homogeneous graph attention: every node attends to all nodes of its own kind.

    a_ij = softmax_j(w^T tanh(W (x_i * x_j)) / temperature); y = SELU(BN(W_1 a x + W_2 x)).

    Args:
        inputs: dimension of a node.
        outputs: dimension of a node afterwards.
        temperature: of the softmax.
    """

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.att_proj = nn.Linear(inputs, outputs)
        self.att_weight = _weight(outputs)
        self.proj_with_att = nn.Linear(inputs, outputs)
        self.proj_without_att = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)
        self.drop = nn.Dropout(0.2)
        self.act = nn.SELU()

    def forward(self, x: Tensor) -> Tensor:
        """Map nodes (B, N, D) to (B, N, D')."""
        x = self.drop(x)
        energy = torch.tanh(self.att_proj(_pairs(x))) @ self.att_weight
        attention = torch.softmax(energy.squeeze(-1) / self.temperature, dim=-1)
        return self.act(_normed(self.bn, self.proj_with_att(attention @ x) + self.proj_without_att(x)))


class HeteroGraphAttention(nn.Module):
    """Heterogeneous stacking graph attention over two kinds of nodes and one master node.

    Pairs within the first kind, within the second and across have a weight vector each; the master node
    gathers from all nodes and gives nothing back.

    Args:
        inputs: dimension of a node.
        outputs: dimension of a node afterwards.
        temperature: of both softmaxes.
    """

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.proj_type1 = nn.Linear(inputs, inputs)
        self.proj_type2 = nn.Linear(inputs, inputs)
        self.att_proj = nn.Linear(inputs, outputs)
        self.att_projM = nn.Linear(inputs, outputs)
        self.att_weight11 = _weight(outputs)
        self.att_weight22 = _weight(outputs)
        self.att_weight12 = _weight(outputs)
        self.att_weightM = _weight(outputs)
        self.proj_with_att = nn.Linear(inputs, outputs)
        self.proj_without_att = nn.Linear(inputs, outputs)
        self.proj_with_attM = nn.Linear(inputs, outputs)
        self.proj_without_attM = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)
        self.drop = nn.Dropout(0.2)
        self.act = nn.SELU()

    def forward(self, first: Tensor, second: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map nodes (B, N1, D), (B, N2, D) and the master (B or 1, 1, D) to the same with D'."""
        count = first.shape[1]
        x = self.drop(torch.cat([self.proj_type1(first), self.proj_type2(second)], dim=1))
        attention = torch.softmax(self._energy(x, count) / self.temperature, dim=-1)
        gather = torch.tanh(self.att_projM(x * master)) @ self.att_weightM
        gather = torch.softmax(gather / self.temperature, dim=1).transpose(1, 2)
        master = self.proj_with_attM(gather @ x) + self.proj_without_attM(master)
        y = self.act(_normed(self.bn, self.proj_with_att(attention @ x) + self.proj_without_att(x)))
        return y[:, :count], y[:, count:], master

    def _energy(self, x: Tensor, count: int) -> Tensor:
        """Return (B, N, N) energies of all pairs; the weight vector depends on the kinds of the two."""
        pairs = torch.tanh(self.att_proj(_pairs(x)))
        across = self.att_weight12
        top = torch.cat([pairs[:, :count, :count] @ self.att_weight11, pairs[:, :count, count:] @ across], 2)
        low = torch.cat([pairs[:, count:, :count] @ across, pairs[:, count:, count:] @ self.att_weight22], 2)
        return torch.cat([top, low], 1).squeeze(-1)


class GraphPool(nn.Module):
    """Keep the share `ratio` of the nodes with the highest gates, each scaled by its gate.

    Args:
        ratio: share of nodes kept, at least one node.
        inputs: dimension of a node.
    """

    def __init__(self, ratio: float, inputs: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.proj = nn.Linear(inputs, 1)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        """Map nodes (B, N, D) to (B, max(int(N ratio), 1), D), the best first."""
        gates = torch.sigmoid(self.proj(self.drop(x)))
        keep = max(int(x.shape[1] * self.ratio), 1)
        best = gates.topk(keep, dim=1).indices
        return (x * gates).gather(1, best.expand(-1, -1, x.shape[2]))


class GraphBackEnd(nn.Module):
    """From spectral and temporal nodes to an embedding and two logits; AASIST's second half.

    Args:
        nodes: spectral nodes N_S.
        channels: dimension C of the incoming nodes.
        dims: dimensions of the nodes after the homogeneous and the heterogeneous layers.
        pool_ratios: shares kept of the spectral, the temporal, and all heterogeneous nodes.
        temperatures: of the spectral, the temporal and the heterogeneous attention.
    """

    def __init__(
        self,
        nodes: int,
        channels: int,
        dims: tuple[int, int],
        pool_ratios: tuple[float, float, float],
        temperatures: tuple[float, float, float],
    ) -> None:
        super().__init__()
        inner, outer = dims
        self.pos_S = nn.Parameter(torch.randn(1, nodes, channels))
        self.master1 = nn.Parameter(torch.randn(1, 1, inner))
        self.master2 = nn.Parameter(torch.randn(1, 1, inner))
        self.GAT_layer_S = GraphAttention(channels, inner, temperatures[0])
        self.GAT_layer_T = GraphAttention(channels, inner, temperatures[1])
        for branch in "12":
            for layer, inputs in (("1", inner), ("2", outer)):
                one = HeteroGraphAttention(inputs, outer, temperatures[2])
                self.add_module(f"HtrgGAT_layer_ST{branch}{layer}", one)
        self.pool_S = GraphPool(pool_ratios[0], inner)
        self.pool_T = GraphPool(pool_ratios[1], inner)
        for branch in "12":
            self.add_module(f"pool_hS{branch}", GraphPool(pool_ratios[2], outer))
            self.add_module(f"pool_hT{branch}", GraphPool(pool_ratios[2], outer))
        self.out_layer = nn.Linear(5 * outer, 2)
        self.drop = nn.Dropout(0.5)
        self.drop_way = nn.Dropout(0.2)

    @property
    def dim(self) -> int:
        """Dimension of the embedding."""
        return self.out_layer.in_features

    def classify(self, spectral: Tensor, temporal: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding (B, 5 D) and the logits (B, 2), [spoof, bona fide].

        Args:
            spectral: (B, N_S, C) nodes, without positions.
            temporal: (B, N_T, C) nodes.
        """
        spectral = self.pool_S(self.GAT_layer_S(spectral + self.pos_S))
        temporal = self.pool_T(self.GAT_layer_T(temporal))
        branches = [self._branch("1", temporal, spectral), self._branch("2", temporal, spectral)]
        time, freq, master = (torch.maximum(a, b) for a, b in zip(*branches, strict=True))
        parts = [time.abs().amax(1), time.mean(1), freq.abs().amax(1), freq.mean(1), master.squeeze(1)]
        embedding = self.drop(torch.cat(parts, dim=1))
        return embedding, self.out_layer(embedding)

    def _branch(self, name: str, temporal: Tensor, spectral: Tensor) -> list[Tensor]:
        """Two heterogeneous layers with a residual around the second: temporal, spectral, master nodes."""
        first = self.get_submodule(f"HtrgGAT_layer_ST{name}1")
        second = self.get_submodule(f"HtrgGAT_layer_ST{name}2")
        time, freq, master = first(temporal, spectral, getattr(self, f"master{name}"))
        freq, time = self.get_submodule(f"pool_hS{name}")(freq), self.get_submodule(f"pool_hT{name}")(time)
        more = second(time, freq, master)
        return [self.drop_way(a + b) for a, b in zip((time, freq, master), more, strict=True)]
