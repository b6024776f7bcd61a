"""Synthetic sets: encoder statistics, handcrafted features and labels with a known difference of classes."""

import numpy as np
import pytest

from masd.stage.seeding import generator
from masd.svm.fit import LabelledSet
from masd.svm.inputs import Inputs, pack, stack_compact


def make_set(name, speakers=8, each=12, bands=3, dim=10, shift=1.0, attacks=3):
    """Return a LabelledSet; spoofs are moved by `shift` in mu and f_hand, each attack another way too."""
    rng = generator(0, name)
    truth = generator(0, "truth").normal(size=(attacks + 1, bands, dim))
    mus, grams, hands, labels = [], [], [], []
    for s in range(speakers):
        voice = 0.3 * generator(0, name, "voice", s).normal(size=(bands, dim))
        for i in range(each):
            kind = i % (attacks + 1)
            # attack 0 stands for bona fide; the attacks share a direction and have one of their own
            move = shift * (truth[0] + 0.5 * truth[kind]) if kind else 0.0
            z = rng.normal(size=(bands, rng.integers(8, 20), dim)) + (voice + move)[:, None]
            mu = z.mean(1)
            centred = z - mu[:, None]
            mus.append(mu.astype(np.float32))
            grams.append(pack(np.einsum("itd,jtd->tij", centred, centred)).astype(np.float32))
            hands.append(rng.normal(size=3) + (0.7 * shift if kind else 0.0))
            labels.append((f"{name}{s}", f"A{kind}" if kind else "-", f"{name}{s}-{i:03d}"))
    inputs = Inputs([u for _, _, u in labels], stack_compact(mus, grams), hand=np.array(hands, np.float32))
    is_fake = np.array([attack != "-" for _, attack, _ in labels])
    return LabelledSet(inputs, is_fake, [s for s, _, _ in labels], [a for _, a, _ in labels])


@pytest.fixture(scope="session")
def train():
    return make_set("t")


@pytest.fixture(scope="session")
def dev():
    return make_set("d", speakers=4)


@pytest.fixture(scope="session")
def alpha():
    return np.array([0.2, 0.3, 0.5], np.float32)
