"""Families of statistics beside the handcrafted features: joined by id, of what the classifier sees."""

import numpy as np
import pytest

from masd.audio import load_utterance
from masd.bin.add_families import add_families
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump, open_dump
from masd.feats.families import describe


def test_the_new_dump_has_the_families_beside_the_old_features(corpus, tmp_path):
    _, dev = corpus
    config = FeatsConfig(classify_seconds=0.55)
    dump_shard(dev.path, tmp_path / "dump", config)
    finish_dump(tmp_path / "dump", 1)
    names = ["phase_advance", "mel_dev"]
    add_families(dev.path, tmp_path / "dump", tmp_path / "new", names, max_fail=0.5)
    old, new = open_dump(tmp_path / "dump"), open_dump(tmp_path / "new")
    assert set(new.utts) <= set(old.utts) and len(new.utts) >= len(old.utts) // 2
    for utt in new.utts[:3]:
        found = describe(load_utterance(dev, utt)[: int(0.55 * 16000)], names)
        expected = np.concatenate([old.hand[utt], found["phase_advance"], found["mel_dev"]])
        np.testing.assert_allclose(new.hand[utt], expected, rtol=1e-6)
        np.testing.assert_array_equal(new.feats[utt], old.feats[utt])


def test_an_unknown_family_is_named_before_any_work(corpus, tmp_path):
    with pytest.raises(MasdError, match="phase_advanced"):
        add_families(corpus[1].path, tmp_path / "dump", tmp_path / "new", ["phase_advanced"])
    assert not (tmp_path / "new").exists()
