"""Embeddings of the frozen encoder: the batch does not matter, shards join, reruns are the same bytes."""

import numpy as np
import pytest
import torch

from masd.data.archive import Writer, open_reader
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.models.encoder import Encoder, EncoderConfig, load_encoder, save_encoder
from masd.models.pooling import statistics
from masd.stage.files import Mark, read_yaml, sha256, write_yaml
from masd.stage.tables import write_table
from masd.svm.features import pooled
from masd.svm.inputs import stack_compact
from masd.systems.embeddings import extract_shard, finish
from masd.systems.stored import Embeddings

LENGTHS = [30, 55, 401, 470, 120, 33, 77, 400]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An encoder with random weights and a dump of random log-mel, some longer than 401 frames."""
    root = tmp_path_factory.mktemp("embeddings")
    torch.manual_seed(0)
    config = EncoderConfig(channels=(4, 8, 8, 8, 8), dim=6)
    encoder = Encoder(config)
    encoder.alpha_logits.data = torch.tensor([0.5, 0.0, -0.5])
    save_encoder(root / "ssl", encoder, config, FeatsConfig(), {})
    write_dump(root / "dump", LENGTHS)
    return root


def write_dump(folder, lengths):
    rng = np.random.default_rng(0)
    with Writer(folder, "feats") as feats, Writer(folder, "hand") as hand:
        for i, length in enumerate(lengths):
            feats.write(f"u{i}", rng.normal(-4, 3, (length, 64)))
            hand.write(f"u{i}", rng.normal(size=3))
    for name in ("feats", "hand"):
        (folder / f"{name}.1.scp").rename(folder / f"{name}.scp")
    write_table(folder / "utt2num_frames", {f"u{i}": n for i, n in enumerate(lengths)})
    write_yaml(folder / "feats.yaml", FeatsConfig())


def extract(world, out, jobs=1, **options):
    for job in range(1, jobs + 1):
        extract_shard(world / "ssl", world / "dump", out, job=job, num_jobs=jobs, **options)
    finish(out, jobs)
    return Embeddings(out)


def test_f_ssl_is_that_of_the_first_401_frames(world, tmp_path):
    found = extract(world, tmp_path)
    encoder, _, _ = load_encoder(world / "ssl")
    mels = open_reader(world / "dump" / "feats.scp")
    assert found.vectors is None and found.utts == [f"u{i}" for i in range(len(LENGTHS))]
    for utt, length in zip(found.utts, LENGTHS, strict=True):
        mel = torch.from_numpy(np.array(mels[utt][:401]))[None]
        with torch.inference_mode():
            z, _ = encoder(mel, torch.tensor([mel.shape[1]]))
            edge = min(8, (z.shape[2] - 2) // 2)
            expected = statistics(encoder.fuse(z)[0, edge : z.shape[2] - edge]).numpy()
        mu, gram = found.read(utt)["compact"]
        assert mu.shape == (3, 6) and gram.shape == (-(-min(length, 401) // 4) - 2 * edge, 6)
        alpha = np.array(read_yaml(tmp_path / "embeddings.yaml")["alpha"], np.float32)
        np.testing.assert_allclose(
            pooled(stack_compact([mu], [gram]), alpha)[0], expected, atol=1e-5, rtol=1e-4
        )


def test_batch_and_shards_do_not_matter(world, tmp_path):
    whole = extract(world, tmp_path / "whole")
    ways = (("single", 1, {"batch": 1}), ("shards", 3, {}), ("h5", 2, {"fmt": "h5"}))
    for name, jobs, options in (*ways, ("more jobs than utterances", len(LENGTHS) + 2, {})):
        other = extract(world, tmp_path / name, jobs, **options)
        assert other.utts == whole.utts
        for utt in whole.utts:
            for one, two in zip(whole.read(utt)["compact"], other.read(utt)["compact"], strict=True):
                np.testing.assert_allclose(one, two, atol=1e-5, rtol=1e-5)


def test_a_rerun_does_nothing_and_force_gives_the_same_bytes(world, tmp_path):
    extract(world, tmp_path, 2)
    files = sorted(p for p in tmp_path.iterdir())
    assert {p.name for p in files} == {
        *("mu.1.ark", "mu.2.ark", "gram.1.ark", "gram.2.ark", "mu.scp", "gram.scp", "mu.crc", "gram.crc"),
        *("embeddings.yaml", "failures", ".done.json"),
    }
    made = [p for p in files if p.name != ".done.json"]  # which also says what the work cost
    stamps, sums = [p.stat().st_mtime_ns for p in files], [sha256(p) for p in made]
    digest = Mark(tmp_path).read()["digest"]
    extract(world, tmp_path, 2)
    assert [p.stat().st_mtime_ns for p in files] == stamps
    extract(world, tmp_path, 2, force=True)
    assert [sha256(p) for p in made] == sums and Mark(tmp_path).read()["digest"] == digest
    assert [p.stat().st_mtime_ns for p in files] != stamps


def test_an_unfinished_shard_is_named_and_nothing_can_be_read(world, tmp_path):
    extract_shard(world / "ssl", world / "dump", tmp_path, job=1, num_jobs=2)
    with pytest.raises(MasdError, match="shard 2 of 2 is not finished"):
        finish(tmp_path, 2)
    with pytest.raises(MasdError, match="no embeddings"):
        Embeddings(tmp_path)
    assert not Mark(tmp_path).path.exists()


def test_more_jobs_than_utterances(world, tmp_path):
    assert extract(world, tmp_path, len(LENGTHS) + 3).utts == [f"u{i}" for i in range(len(LENGTHS))]


def test_another_encoder_makes_them_stale(world, tmp_path):
    extract(world, tmp_path / "emb")
    first = sha256(tmp_path / "emb" / "mu.1.ark")
    encoder, config, feats = load_encoder(world / "ssl")
    encoder.project.weight.data.mul_(1.01)
    save_encoder(tmp_path / "ssl", encoder, config, feats, {})
    extract_shard(tmp_path / "ssl", world / "dump", tmp_path / "emb")
    finish(tmp_path / "emb", 1)
    assert sha256(tmp_path / "emb" / "mu.1.ark") != first
    assert read_yaml(tmp_path / "emb" / "embeddings.yaml")["encoder"] == sha256(
        tmp_path / "ssl" / "encoder.safetensors"
    )


def test_a_dump_of_other_features_is_refused(world, tmp_path):
    write_dump(tmp_path, [50])
    write_yaml(tmp_path / "feats.yaml", FeatsConfig(dither=0.0))
    with pytest.raises(MasdError, match=r"feats\.dither"):
        extract_shard(world / "ssl", tmp_path, tmp_path / "out")


def test_a_damaged_archive_costs_one_utterance(world, tmp_path):
    write_dump(tmp_path / "dump", LENGTHS)
    ark = tmp_path / "dump" / "feats.1.ark"
    ark.write_bytes(ark.read_bytes()[:-100])
    extract_shard(world / "ssl", tmp_path / "dump", tmp_path / "emb")
    with pytest.raises(MasdError, match=r"1 of 8 utterances failed.*u7"):
        finish(tmp_path / "emb", 1)
    finish(tmp_path / "emb", 1, max_fail=0.2)
    assert Embeddings(tmp_path / "emb").utts == [f"u{i}" for i in range(7)]
    assert (tmp_path / "emb" / "failures").read_text().startswith("u7 ")


def test_an_utterance_is_tried_again_once_its_archive_is_mended(world, tmp_path):
    """The dump's lists, and so its digest, are what they were: the archive alone was cut short on the way."""
    write_dump(tmp_path / "dump", LENGTHS)
    Mark(tmp_path / "dump").write("a dump is known by its marks and lists")
    ark = tmp_path / "dump" / "feats.1.ark"
    whole = ark.read_bytes()
    ark.write_bytes(whole[:-100])

    def embed():
        for job in (1, 2):
            extract_shard(world / "ssl", tmp_path / "dump", tmp_path / "emb", job=job, num_jobs=2)
        finish(tmp_path / "emb", 2, max_fail=0.2)
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "emb").iterdir()}

    before = embed()
    assert embed() == before
    ark.write_bytes(whole)
    after = embed()
    assert after["mu.1.ark"] == before["mu.1.ark"] and after["mu.2.ark"] != before["mu.2.ark"]
    assert Embeddings(tmp_path / "emb").utts == [f"u{i}" for i in range(8)]
