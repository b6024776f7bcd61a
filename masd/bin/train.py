"""Stage 5: training of any system, calibration, development threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from masd.audio.augment import AugmentConfig
from masd.cli import run
from masd.svm.config import FitConfig
from masd.systems.config import FrontEndConfig, GmmConfig, NetworkConfig, TokensConfig


def train(
    system: str,
    train_data: Path,
    dev_data: Path,
    out: Path,
    type: str = "",
    train_embeddings: Path | None = None,
    dev_embeddings: Path | None = None,
    train_dump: Path | None = None,
    dev_dump: Path | None = None,
    ssl: Path | None = None,
    fit: FitConfig = FitConfig(),  # noqa: B008 - frozen
    network: NetworkConfig = NetworkConfig(),  # noqa: B008 - frozen
    front_end: FrontEndConfig = FrontEndConfig(),  # noqa: B008 - frozen
    augment: AugmentConfig = AugmentConfig(),  # noqa: B008 - frozen
    gmm: GmmConfig = GmmConfig(),  # noqa: B008 - frozen
    tokens: TokensConfig = TokensConfig(),  # noqa: B008 - frozen
    options: dict[str, Any] = {},  # noqa: B006 - never changed
    budgets: dict[str, int] = {},  # noqa: B006 - never changed
    seed: int = 0,
    allow_pipes: bool = False,
    max_fail: float = 0.01,
    share_speakers: bool = False,
    force: bool = False,
) -> None:
    """Train a system: a row of Table II, plus, or one that MASD is compared with, or one of your own.

    The rows handcrafted, ssl_single, ssl_multi, concat, attention and full, plus and plus_encoder fit fusion
    where they have one, RBF SVM, temperature, affine map and development threshold, on dumps and embeddings.
    rawnet2, aasist, aasist_l, samo, lfcc_lcnn and, on pretrained front ends, w2v2_aasist, hubert_wavlm, sls,
    nes2net, mhfa and antideepfake are networks on recordings: the epoch is chosen on the development set; the
    same command goes on where a killed run was last saved; torchrun trains on several GPUs. lfcc_gmm fits two
    mixtures, tokens k-means units and a unigram model.
    Writes OUT/model, a folder that stands alone, and beside it fusion.jsonl, or of networks last.safetensors,
    metrics.jsonl, train.log, tensorboard/.

    Args:
        system: its name; or `module:Class`, a class of your own (docs/systems.md).
        train_data: data folder with utt2lab, utt2spk and utt2attack.
        dev_data: data folder of other speakers and recordings, which gives threshold and P(fake).
        out: output folder.
        type: `module:Class` of a system of your own, where `system` is but its name.
        train_embeddings: embeddings of the training set; or an scp of plain vectors made elsewhere.
        dev_embeddings: embeddings of the development set.
        train_dump: feature dump of the training set, for f_hand and for what `detect` calls unusual.
        dev_dump: feature dump of the development set.
        ssl: pretraining folder that embeddings come from, or tokens; none for vectors made elsewhere.
        fit: of the rows, e.g. `--fit.c 10`.
        network: of networks, e.g. `--network.epochs 10`; published settings: utils/conf/systems/.
        front_end: pretrained front ends of networks.
        augment: augmentation of networks' training recordings.
        gmm: of lfcc_gmm.
        tokens: of tokens.
        options: what a class of your own is made with.
        budgets: utterance-steps by system, in place of the epochs of the networks named.
        seed: root of every random draw.
        allow_pipes: run commands in wav.scp.
        max_fail: share of the utterances of either set, 0 to 1, that may be unusable.
        share_speakers: let a speaker be in both sets, as in a corpus of one speaker; no recording may be.
        force: begin anew though it is done or begun.
    """
    import dataclasses

    from masd.errors import MasdError
    from masd.systems import SYSTEMS, named
    from masd.systems.config import Settings
    from masd.systems.items import Stored
    from masd.systems.train import Job
    from masd.systems.train import train as work

    system, type = named(system, type)
    unknown = [name for name in budgets if name not in SYSTEMS and name != system]
    if unknown:
        raise MasdError(f"budgets: system {unknown[0]}: unknown; there are {', '.join(SYSTEMS)}")
    if budgets.get(system):
        network = dataclasses.replace(network, budget=budgets[system])
    settings = Settings(fit, network, front_end, augment, gmm, tokens, options)
    job = Job.open(
        system, train_data, dev_data, out,
        settings=settings, stored_train=Stored(train_embeddings, train_dump),
        stored_dev=Stored(dev_embeddings, dev_dump), ssl=ssl, seed=seed, allow_pipes=allow_pipes,
        max_fail=max_fail, share_speakers=share_speakers, type=type,
    )  # fmt: skip
    work(job, force)


if __name__ == "__main__":
    run(train)
