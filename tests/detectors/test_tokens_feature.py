"""The tokens' log-likelihood as a fourth handcrafted feature."""

import numpy as np
import pytest
import torch

from masd.bin.add_tokens import add_tokens
from masd.data.transform import restrict
from masd.detectors.config import DetectorConfig, TokensConfig
from masd.detectors.detector import load_detector
from masd.detectors.feature import cross_scores, extend_dump
from masd.detectors.fit import Job, fit_tokens, train_detector
from masd.detectors.scoring import score_folder
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump, open_dump
from masd.models.encoder import Encoder, EncoderConfig, save_encoder
from masd.stage.files import Mark

CONFIG = DetectorConfig(tokens=TokensConfig(units=8, vocabulary=24))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    feats = FeatsConfig()
    config = EncoderConfig(channels=(8, 8, 8, 8, 8), dim=8)
    save_encoder(folder, Encoder(config, feats.n_mels, feats.f_min, feats.f_max), config, feats, {})
    return folder


def test_training_utterances_are_judged_by_models_without_their_speaker(corpus, encoder, tmp_path):
    train, dev = corpus
    job = Job("tokens", train, dev, tmp_path, CONFIG, encoder)
    found = cross_scores(job, folds=3)
    assert sorted(found) == train.utts
    others = restrict(train, [utt for utt in train.utts if train.spk(utt) != "b"])
    alone = fit_tokens(Job("tokens", others, dev, tmp_path, CONFIG, encoder))
    mine = [utt for utt in train.utts if train.spk(utt) == "b"]
    expected = score_folder(alone, train, mine).raw
    assert {utt: found[utt] for utt in mine} == expected
    # a corpus that does not say who speaks: recordings are held out, and all are judged
    one = restrict(train, mine)
    found = cross_scores(Job("tokens", one, dev, tmp_path, CONFIG, encoder), 3)
    assert sorted(found) == one.utts and found != expected
    with pytest.raises(MasdError, match="two speakers or recordings"):
        cross_scores(Job("tokens", restrict(train, mine[:1]), dev, tmp_path, CONFIG, encoder), 3)


def test_the_new_dump_has_the_value_beside_the_old_features(corpus, encoder, tmp_path):
    _, dev = corpus
    dump_shard(dev.path, tmp_path / "dump", FeatsConfig())
    finish_dump(tmp_path / "dump", 1)
    train_detector(Job("tokens", *corpus, tmp_path / "exp", CONFIG, encoder))
    add_tokens(dev.path, tmp_path / "dump", tmp_path / "new", model=tmp_path / "exp" / "model")
    old, new = open_dump(tmp_path / "dump"), open_dump(tmp_path / "new")
    raw = score_folder(load_detector(tmp_path / "exp" / "model"), dev, dev.utts).raw
    assert new.utts == old.utts
    for utt in dev.utts:
        np.testing.assert_array_equal(new.hand[utt], np.float32([*old.hand[utt], raw[utt]]))
        np.testing.assert_array_equal(new.feats[utt], old.feats[utt])


def test_nobody_reads_new_values_by_an_old_list(corpus, tmp_path, monkeypatch):
    """Killed between archive and lists, an older dump is unfinished then; refused, it stays as it was."""
    _, dev = corpus
    dump_shard(dev.path, tmp_path / "dump", FeatsConfig())
    finish_dump(tmp_path / "dump", 1)
    values = dict.fromkeys(dev.utts, 1.0)
    with pytest.raises(MasdError, match="is the dump itself"):
        extend_dump(tmp_path / "dump", values, tmp_path / "dump", "work", 0.0)
    extend_dump(tmp_path / "dump", values, tmp_path / "new", "work", 0.0)
    with pytest.raises(MasdError, match="no token likelihood"):
        extend_dump(tmp_path / "dump", {}, tmp_path / "new", "other", 0.0)
    assert Mark(tmp_path / "new").fresh("work") and open_dump(tmp_path / "new").hand[dev.utts[0]][3] == 1.0

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("masd.detectors.feature.write_lines", killed)
    with pytest.raises(KeyboardInterrupt):
        extend_dump(tmp_path / "dump", dict.fromkeys(dev.utts, 2.0), tmp_path / "new", "other", 0.0)
    with pytest.raises(MasdError, match="no finished feature dump"):
        open_dump(tmp_path / "new")


def test_a_model_or_an_encoder_is_asked_for(corpus, tmp_path):
    with pytest.raises(MasdError, match=r"--model DIR, or .*--ssl DIR"):
        add_tokens(corpus[0].path, tmp_path, tmp_path / "new")
