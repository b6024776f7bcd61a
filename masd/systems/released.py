"""The authors' released weights of networks: their names for tensors, loaded strictly into ours."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from masd.errors import MasdError
from masd.models.state import State, load_state, read_checkpoint
from masd.systems.classifier import Classifier, network, on_front_ends
from masd.systems.config import FrontEndConfig, NetworkConfig
from masd.systems.packed import SWELLING, ZIP_ERRORS

PLAIN = ("aasist", "aasist_l", "rawnet2")  # their names are ours


@dataclass(frozen=True)
class Layout:
    """How a release with a pretrained front end holds its tensors.

    Args:
        front_end: what the front end's names, fairseq's, begin with.
        renamed: how other names begin, and how ours do.
        normalise: whether waveforms are scaled to zero mean and unit variance; None: as the front end was
            pretrained.
        reversed: what the last layer's names begin with, where its classes are [bona fide, spoof].
    """

    front_end: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    normalise: bool | None = False
    reversed: str = ""


LAYOUTS = {
    "w2v2_aasist": Layout("ssl_model.model.", {"LL.": "project."}),
    "sls": Layout("ssl_model.model."),
    "nes2net": Layout("ssl_model.model.", {"Nested_Res2Net_TDNN.": ""}),
    "antideepfake": Layout("m_ssl.model.", normalise=True),
    "mhfa": Layout(
        "frontend.upstream.upstream.model.", {"projection.trans.": "projection."}, None, "projection.2."
    ),
}
"""SSL_Anti-spoofing, SLS and Nes2Net give XLS-R the waveform as it is, though it was pretrained otherwise."""
RELEASED = (*PLAIN, *LAYOUTS)


def released(system: str, path: str | Path) -> Classifier:
    """Return a network with the authors' released weights, in evaluation mode.

    Args:
        system: one of `RELEASED`.
        path: a file of PyTorch or safetensors, of mhfa also WeDefense's zip, with avg_model.pt in it; or what
            `fetched` takes.

    Raises:
        MasdError: the system has none, the file cannot be read, or a tensor does not fit (the first named).
    """
    if system not in RELEASED:
        raise MasdError(
            f"system {system}: checkpoints of {', '.join(RELEASED)} are known; give a model folder"
        )
    path = fetched(Path(path))
    state = read_checkpoint(path, ("model", "state_dict"), inside(path))
    if system in PLAIN:
        net = network(system, FrontEndConfig())
    else:
        state, architecture = ours(state, LAYOUTS[system], path)
        net = on_front_ends(system, [architecture])
    load_state(net, state, path)
    return Classifier(net, NetworkConfig()).eval().requires_grad_(False)


def fetched(checkpoint: Path) -> Path:
    """Return the file of a checkpoint; `hf:OWNER/NAME/FILE` comes from the Hugging Face hub.

    Without FILE it is model.safetensors. What was fetched before is not fetched again.

    Raises:
        MasdError: it cannot be had.
    """
    kind, _, place = str(checkpoint).partition(":")
    if kind != "hf":
        return checkpoint
    owner, _, rest = place.partition("/")
    name, _, file = rest.partition("/")
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(f"{owner}/{name}", file or "model.safetensors"))
    except ImportError:
        line = f"{checkpoint}: huggingface_hub is not installed: pip install 'masd[vocoders]'"
        raise MasdError(line) from None
    except Exception as error:  # of the network, of the hub, of the name
        why = " ".join(str(error).split())[:200]
        raise MasdError(f"{checkpoint}: not to be had from the Hugging Face hub ({why})") from None


def inside(path: str | Path) -> io.BytesIO | None:
    """Return the checkpoint in a WeDefense zip, None of any other file; `MasdError` if it is damaged."""
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # what torch writes is a zip too, of other names
            found = next((m for m in archive.infolist() if Path(m.filename).name == "avg_model.pt"), None)
            if found is not None and found.file_size > max(SWELLING * found.compress_size, 1 << 20):
                raise MasdError(
                    f"{path}: {found.filename} swells to {found.file_size} bytes; no checkpoint does"
                )
            return io.BytesIO(archive.read(found)) if found else None
    except ZIP_ERRORS as error:
        raise MasdError(f"{path}: a damaged zip file ({error}); fetch it again") from None


def ours(state: State, layout: Layout, path: str | Path) -> tuple[State, dict]:
    """Return the tensors of a release by our names, and the front end's architecture.

    Raises:
        MasdError: there is no front end among them.
    """
    from masd.models.front_ends import infer, to_torchaudio

    own = {k.removeprefix(layout.front_end): v for k, v in state.items() if k.startswith(layout.front_end)}
    if not own:
        first = min(state)
        raise MasdError(f"{path}: no tensor {layout.front_end}* of that release; the first is {first}")
    front_end = to_torchaudio(own)
    renamed: State = {}
    for name, value in state.items():
        if not name.startswith(layout.front_end):
            start = next((start for start in layout.renamed if name.startswith(start)), "")
            name = layout.renamed.get(start, "") + name.removeprefix(start)
            turned = layout.reversed and name.startswith(layout.reversed)
            renamed[name] = value.flip(0) if turned else value
    architecture = infer(front_end, {}, path)
    if layout.normalise is not None:
        architecture["normalise"] = layout.normalise
    return renamed | {f"front_ends.0.model.{name}": value for name, value in front_end.items()}, architecture
