"""Pretraining and embeddings are the same bits beside other work and on other numbers of threads and jobs."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training import call, same
from threadpoolctl import threadpool_info

from masd.data.archive import open_reader
from masd.errors import MasdError
from masd.stage import devices
from masd.stage.files import read_yaml
from masd.stage.threads import pinned
from masd.systems import embeddings
from masd.systems.embeddings import extract_shard, finish


def embedded(model, dump, out, jobs):
    for job in range(1, jobs + 1):
        extract_shard(model, dump, out, batch=6, job=job, num_jobs=jobs)
    finish(out, jobs)
    readers = [open_reader(out / name) for name in ("mu.scp", "gram.scp")]
    return {utt: [reader[utt] for reader in readers] for utt in readers[0].utts}


def test_pretraining_beside_busy_loops_and_on_two_threads(arguments, toy, tmp_path, elsewhere):
    """Speed was measured to choose the arithmetic, and sums were divided among all threads there were."""
    words = [*arguments, "--ssl.epochs", "1", "--ssl.precision", "auto", "--ssl.save_minutes", "0"]
    call(words, tmp_path / "quiet")
    quiet = embedded(tmp_path / "quiet", toy / "dev", tmp_path / "quiet_emb", 1)
    with elsewhere():
        call(words, tmp_path / "busy")
        busy = embedded(tmp_path / "busy", toy / "dev", tmp_path / "busy_emb", 3)
    for name in ("last.safetensors", "encoder.safetensors"):
        assert same(*(load_file(tmp_path / folder / name) for folder in ("quiet", "busy"))), name
    assert quiet.keys() == busy.keys()
    assert all(np.array_equal(a, b) for utt in quiet for a, b in zip(quiet[utt], busy[utt], strict=True))


def test_an_encoder_says_what_it_was_trained_in(arguments, tmp_path):
    call(arguments, tmp_path, "--ssl.epochs", "1", "--ssl.deterministic", "true")
    extra = read_yaml(tmp_path / "encoder.yaml")["extra"]
    stated = {key: extra[key] for key in ("precision", "device", "processes", "threads")}
    assert stated == {"precision": "float32", "device": "cpu", "processes": 1, "threads": 1}
    assert not torch.are_deterministic_algorithms_enabled()


def test_threads_are_pinned_and_given_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    torch.set_num_threads(3)
    try:
        with pinned(2):
            assert {pool["num_threads"] for pool in threadpool_info()} == {2}
            assert torch.get_num_threads() == 2
            assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "2"
        assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (3, "7")
        assert "MKL_NUM_THREADS" not in os.environ
    finally:
        torch.set_num_threads(1)


def test_shards_of_cpu_and_gpu_are_not_joined(arguments, toy, tmp_path, monkeypatch):
    call(arguments, tmp_path / "ssl", "--ssl.epochs", "1")
    where = tmp_path / "ssl", toy / "dev", tmp_path / "emb"
    extract_shard(*where, job=1, num_jobs=2)
    monkeypatch.setattr(embeddings, "device_class", lambda device: devices.device_class("cuda:0"))
    extract_shard(*where, job=2, num_jobs=2)
    with pytest.raises(MasdError, match="shards 1 and 2 differ in input, configuration or device"):
        finish(where[2], 2)
    extract_shard(*where, job=1, num_jobs=2)  # as the message says
    finish(where[2], 2)


def test_what_torch_cannot_do_deterministically_ends_in_one_line():
    with pytest.raises(MasdError, match=r"deterministic: .*leave it false"), devices.deterministic(True):
        raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation")


def test_embedding_switches_tf32_off_on_a_gpu(monkeypatch):
    """cuDNN's convolutions are in TF32 unless told otherwise, and `detect` computes in float32."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cudnn, before = torch.backends.cudnn, torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    try:
        with devices.exact():
            assert (cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark) == (False, True, False)
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert cudnn.allow_tf32 == before
