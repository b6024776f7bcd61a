"""How much do plain log-mel statistics tell? A reference for what an encoder could find at all.

Mean and deviation over time of every mel bin (2 x 64 numbers an utterance) go into a logistic regression that
is fitted on the training set and tested on the development set. No eval set is read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from masd.cli import run
from masd.data.folder import read_folder
from masd.feats.config import classify_frames
from masd.feats.dump import open_dump
from masd.metrics.eer import eer
from masd.stage.files import write_json


def mel_probe(train_data: Path, train_dump: Path, dev_data: Path, dev_dump: Path, out: Path) -> None:
    """Print and write the EER on the development set, pooled and for each attack.

    Args:
        train_data: data folder with utt2lab and utt2attack.
        train_dump: its feature dump.
        dev_data: the development set's data folder.
        dev_dump: its feature dump.
        out: JSON file of the rates, shares from 0 to 1.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, attacks = statistics(train_data, train_dump)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, class_weight="balanced"))
    model.fit(x, attacks == "-")
    x, attacks = statistics(dev_data, dev_dump)
    scores = model.decision_function(x)
    rates = {"pooled": eer(scores[attacks == "-"], scores[attacks != "-"])[0]}
    for attack in sorted(set(attacks) - {"-"}):
        rates[attack] = eer(scores[attacks == "-"], scores[attacks == attack])[0]
    write_json(out, rates)
    print(f"{dev_dump}: EER " + ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in rates.items()))


def statistics(data: Path, dump: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of the mel bins (N, 128) and the attacks (N,), `-` for bona fide."""
    folder, source = read_folder(data), open_dump(dump, None)
    frames = classify_frames(source.config)
    utts = [utt for utt in folder.utts if utt in set(source.feats.utts)]
    rows = [source.feats.crop(utt, 0, frames) for utt in utts]
    x = np.array([np.concatenate([mel.mean(0), mel.std(0)]) for mel in rows])
    return x, np.array([folder.tables["utt2attack"][utt] for utt in utts])


if __name__ == "__main__":
    run(mel_probe, output="")
