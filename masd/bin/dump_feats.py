"""Stage 3: log-mel and handcrafted features of a data folder, one shard."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from masd.cli import run
from masd.feats.config import FeatsConfig


def dump_feats(
    data: Path,
    out: Path,
    feats: FeatsConfig = FeatsConfig(),  # noqa: B008 - frozen
    like: Path | None = None,
    feats_format: Literal["ark", "h5"] = "ark",
    compress: bool = False,
    job: int = 1,
    num_jobs: int = 1,
    allow_pipes: bool = False,
    force: bool = False,
) -> None:
    """Dump the log-mel and handcrafted features of a data folder in one pass over its audio.

    Ends with `python3 -m masd.bin.finish dump` once all shards are there. Utterances that cannot be
    used are named in the log and in the dump's list `failures`; the rest is done.

    Args:
        data: data folder.
        out: dump folder; its place in `feats.scp` is as given here.
        feats: feature configuration, e.g. `--feats.hop_length 160`.
        like: model folder whose own feature configuration is used in place of `feats`.
        feats_format: Kaldi ark and scp, or HDF5.
        compress: two bytes a log-mel value instead of four (off by at most 2.5e-4 in ark, 0.008 in h5).
        job: which shard, from 1.
        num_jobs: how many shards; the values do not depend on it.
        allow_pipes: run commands that stand in wav.scp.
        force: dump again though it is done; needed where good audio was replaced under the same names.
    """
    from masd.errors import MasdError
    from masd.feats.dump import dump_shard

    if like is not None:
        from masd.stage.files import read_yaml

        about = (read_yaml(like / "model.yaml") or {}).get("settings") or {}
        if not about.get("features"):
            raise MasdError(f"{like}/model.yaml: states no feature configuration; fit the model again")
        feats = FeatsConfig.from_dict(about["features"], f"{like}/model.yaml: features")
    dump_shard(data, out, feats, feats_format, compress, job, num_jobs, allow_pipes, force)


if __name__ == "__main__":
    run(dump_feats)
