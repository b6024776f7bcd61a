"""The encoder as an ONNX graph: built from its weights, quantised to 8 bits, run by onnxruntime.

The graph takes a log-mel batch without padding and does what `Encoder.forward` does in evaluation mode, with
batch normalisation folded into the convolutions. `onnx` and `onnxruntime` are optional
(`tools/setup_env.sh onnx`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from masd.errors import MasdError
from masd.models.config import EncoderConfig

if TYPE_CHECKING:
    from masd.models.encoder import Encoder
    from masd.models.normalization import MaskedBatchNorm2d

OPSET = 17
OPERATORS = {
    *("Add", "Concat", "Conv", "DequantizeLinear", "Div", "MatMul", "QuantizeLinear", "ReduceMean"),
    *("Relu", "Slice", "Sub", "Transpose", "Unsqueeze"),
}
MAX_NODES = 2000
NEEDED = "install onnx and onnxruntime (tools/setup_env.sh onnx)"


class _Graph:
    """Collects nodes and weights; each method adds one node and returns the name of its output."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy_helper = helper, numpy_helper
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def weight(self, name: str, value: Tensor | list[int]) -> str:
        array = np.array(value, np.int64) if isinstance(value, list) else value.detach().float().numpy()
        self.weights[name] = self.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x: str, name: str, weight: Tensor, bias: Tensor, stride: tuple[int, int], pad: int) -> str:
        inputs = [x, self.weight(f"{name}.weight", weight), self.weight(f"{name}.bias", bias)]
        return self.add("Conv", inputs, name, strides=list(stride), pads=[pad] * 4)


def folded(conv: nn.Conv2d, norm: MaskedBatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that does what `conv` and then `norm`, evaluating, do."""
    scale, shift = norm.folded()
    return conv.weight * scale[:, None, None, None], shift


def encoder_graph(encoder: Encoder) -> bytes:
    """Return the graph, serialised: `mel` (B, T, n_mels) to `z` (B, J, T', D).

    Raises:
        MasdError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MasdError(f"an ONNX graph cannot be made: {NEEDED}") from None
    graph = _Graph()
    x = graph.add("Sub", ["mel", graph.weight("mean", encoder.mel_mean)], "centred")
    x = graph.add("Div", [x, graph.weight("std", encoder.mel_std)], "standardised")
    x = graph.add("Transpose", [x], "by_bin", perm=[0, 2, 1])
    x = graph.add("Unsqueeze", [x, graph.weight("one", [1])], "image")
    weight, bias = encoder.project.weight.t(), encoder.project.bias
    project = (graph.weight("project.weight", weight), graph.weight("project.bias", bias))
    bands = [_band(graph, encoder, x, band, project) for band in range(encoder.num_bands)]
    graph.add("Concat", bands, "z", axis=1)
    kind, make = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    shapes = (
        [make("mel", kind, ["batch", "frames", encoder.mel_mean.numel()])],
        [make("z", kind, ["batch", encoder.num_bands, "out_frames", encoder.config.dim])],
    )
    whole = onnx.helper.make_graph(graph.nodes, "encoder", *shapes, initializer=list(graph.weights.values()))
    model = onnx.helper.make_model(whole, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    # what onnxruntime's quantiser warns is missing: there is nothing left to fold
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return model.SerializeToString()


def _band(graph: _Graph, encoder: Encoder, image: str, band: int, project: tuple[str, str]) -> str:
    at = f"band{band}"
    cut = [graph.weight(f"{at}.{i}", [v]) for i, v in enumerate((*encoder.ranges[band], 2))]
    x = graph.add("Slice", [image, *cut], f"{at}.bins")
    which = band if encoder.config.batch_norm == "per_band" else 0
    for number, block in enumerate(encoder.blocks):
        name = f"{at}.block{number}"
        y = graph.conv(x, f"{name}.conv1", *folded(block.conv1, block.norm1[which]), block.stride, 1)
        y = graph.add("Relu", [y], f"{name}.relu1")
        y = graph.conv(y, f"{name}.conv2", *folded(block.conv2, block.norm2[which]), (1, 1), 1)
        skip = graph.conv(x, f"{name}.skip", *folded(block.skip, block.norm_skip[which]), block.stride, 0)
        x = graph.add("Relu", [graph.add("Add", [y, skip], f"{name}.sum")], f"{name}.relu2")
    x = graph.add("ReduceMean", [x], f"{at}.mean", axes=[2], keepdims=1)  # (B, C, 1, T')
    x = graph.add("Transpose", [x], f"{at}.last", perm=[0, 2, 3, 1])  # (B, 1, T', C)
    x = graph.add("MatMul", [x, project[0]], f"{at}.product")
    return graph.add("Add", [x, project[1]], f"{at}.z")


def quantised(graph: bytes, mels: Iterable[np.ndarray]) -> bytes:
    """Return the graph with its convolutions in 8 bits, ranges of activations as found on `mels`.

    Args:
        graph: of `encoder_graph`.
        mels: log-mel spectrograms (T, n_mels) of training utterances.

    Raises:
        MasdError: onnxruntime is not installed.
    """
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    except ImportError:
        raise MasdError(f"the graph cannot be quantised: {NEEDED}") from None
    rows = iter([{"mel": np.ascontiguousarray(mel[None], np.float32)} for mel in mels])

    class Mels(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(rows, None)

    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        before.write_bytes(graph)
        quantize_static(
            before,
            after,
            Mels(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv"],
        )
        return after.read_bytes()


def _check_operators(graph: bytes, path: str | Path) -> None:
    """Raise `MasdError` if a graph has operators that no encoder's has: one with loops may never end."""
    from onnx import load_model_from_string

    model = load_model_from_string(graph)
    found = {
        node.op_type if not node.domain else f"{node.domain}.{node.op_type}" for node in model.graph.node
    }
    strange = sorted(found - OPERATORS) + [f"function {one.name}" for one in model.functions]
    if strange or len(model.graph.node) > MAX_NODES:
        what = f"has the operator {strange[0]}" if strange else f"has more than {MAX_NODES} operators"
        raise MasdError(f"{path}: not an encoder's graph ({what}); export the model again")


class OnnxEncoder:
    """Runs a stored graph in place of an `Encoder`; `masd.svm.inputs.embed` takes either.

    Args:
        path: `encoder.onnx` of a model folder.
        config: the encoder's configuration.

    Raises:
        MasdError: onnxruntime is not installed, or the file is no graph it can run.
    """

    def __init__(self, path: str | Path, config: EncoderConfig) -> None:
        try:
            import onnx  # noqa: F401 - to read what the graph consists of
            import onnxruntime
        except ImportError:
            raise MasdError(f"{path}: cannot be run: {NEEDED}") from None
        self.config = config
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = 4  # what is wrong is raised; a stranger's names go into no log
        try:
            # from bytes: a graph of someone else cannot name other files to be read
            graph = Path(path).read_bytes()
            _check_operators(graph, path)
            with redirect_stdout(io.StringIO()):  # on which it says what the error says
                self.session = onnxruntime.InferenceSession(
                    graph, options, providers=["CPUExecutionProvider"]
                )
        except OSError as error:
            raise MasdError(f"{path}: cannot be read ({error.strerror})") from None
        except MasdError:
            raise
        except Exception as error:
            raise MasdError(
                f"{path}: not a graph onnxruntime can run ({str(error).splitlines()[0]})"
            ) from None

    def __call__(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `Encoder.forward`; items shorter than the batch are run alone, since the graph has no masks."""
        frames = mel.shape[1]
        if bool((lengths == frames).all()):
            z = self._run(mel)
            return z, torch.full_like(lengths, z.shape[2])
        parts = [self._run(row[None, : int(n)]) for row, n in zip(mel, lengths, strict=True)]
        kept = torch.tensor([part.shape[2] for part in parts])
        z = parts[0].new_zeros(len(parts), parts[0].shape[1], int(kept.max()), parts[0].shape[3])
        for row, part in zip(z, parts, strict=True):
            row[:, : part.shape[2]] = part[0]
        return z, kept

    def _run(self, mel: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(["z"], {"mel": mel.contiguous().numpy()})[0])
