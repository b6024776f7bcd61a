"""The tokens' log-likelihood as a fourth handcrafted feature."""

import numpy as np
import pytest

from masd.bin.add_tokens import add_tokens
from masd.data.transform import restrict
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump, open_dump
from masd.stage.files import Mark
from masd.systems import load
from masd.systems.config import Settings, TokensConfig
from masd.systems.token_feature import cross_scores, extend_dump
from masd.systems.tokens import TokenSystem
from masd.systems.train import Job
from masd.systems.train import train as train_system

CONFIG = Settings(tokens=TokensConfig(units=8, vocabulary=24))


def test_training_utterances_are_judged_by_models_without_their_speaker(corpus, small_encoder, raw, tmp_path):
    train, dev = corpus
    job = Job("tokens", train, dev, tmp_path, CONFIG, ssl=small_encoder)
    found = cross_scores(job, folds=3)
    assert sorted(found) == train.utts
    others = restrict(train, [utt for utt in train.utts if train.spk(utt) != "b"])
    alone = TokenSystem.learn(Job("tokens", others, dev, tmp_path, CONFIG, ssl=small_encoder))
    mine = [utt for utt in train.utts if train.spk(utt) == "b"]
    expected = raw(alone, train, mine)
    assert {utt: found[utt] for utt in mine} == expected
    # a corpus that does not say who speaks: recordings are held out, and all are judged
    one = restrict(train, mine)
    found = cross_scores(Job("tokens", one, dev, tmp_path, CONFIG, ssl=small_encoder), 3)
    assert sorted(found) == one.utts and found != expected
    with pytest.raises(MasdError, match="two speakers or recordings"):
        cross_scores(Job("tokens", restrict(train, mine[:1]), dev, tmp_path, CONFIG, ssl=small_encoder), 3)


def test_the_new_dump_has_the_value_beside_the_old_features(corpus, small_encoder, raw, tmp_path):
    _, dev = corpus
    dump_shard(dev.path, tmp_path / "dump", FeatsConfig())
    finish_dump(tmp_path / "dump", 1)
    train_system(Job("tokens", *corpus, tmp_path / "exp", CONFIG, ssl=small_encoder))
    add_tokens(dev.path, tmp_path / "dump", tmp_path / "new", model=tmp_path / "exp" / "model")
    old, new = open_dump(tmp_path / "dump"), open_dump(tmp_path / "new")
    values = raw(load(tmp_path / "exp" / "model"), dev)
    assert new.utts == old.utts
    for utt in dev.utts:
        np.testing.assert_array_equal(new.hand[utt], np.float32([*old.hand[utt], values[utt]]))
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

    monkeypatch.setattr("masd.systems.token_feature.write_lines", killed)
    with pytest.raises(KeyboardInterrupt):
        extend_dump(tmp_path / "dump", dict.fromkeys(dev.utts, 2.0), tmp_path / "new", "other", 0.0)
    with pytest.raises(MasdError, match="no finished feature dump"):
        open_dump(tmp_path / "new")


def test_a_model_or_an_encoder_is_asked_for(corpus, tmp_path):
    with pytest.raises(MasdError, match=r"--model DIR, or .*--ssl DIR"):
        add_tokens(corpus[0].path, tmp_path, tmp_path / "new")
