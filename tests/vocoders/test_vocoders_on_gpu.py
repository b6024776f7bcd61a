"""Networks in batches, as on a GPU: `cpu:0` stands in for one, which torch takes for the CPU."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from vocoder_samples import save_networks, speech, tiny_flow

from masd.audio import write_wav
from masd.bin import copy_synthesis as entry
from masd.bin.finish import copy_synthesis as finish
from masd.data.folder import read_folder, write_folder
from masd.errors import MasdError
from masd.stage import devices
from masd.vocoders import copy_synthesis as copies_of
from masd.vocoders import get, network

GPU = "cpu:0"
KINDS = ["bigvgan", "hifigan", "melgan", "univnet", "waveglow"]


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    pytest.importorskip("transformers")
    return save_networks(tmp_path_factory.mktemp("weights"))


def on_gpu(kind, configs):
    vocoder = get(kind, configs[kind])
    vocoder.place(GPU)
    return vocoder


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_made_in_a_batch_is_what_it_is_alone(kind, configs, voice, monkeypatch):
    waves = [voice[:8000], voice[4000:12000], voice[:8100], voice[:5000], voice[:300]]
    items = [(x, f"u{k}") for k, x in enumerate(waves)]
    alone = [get(kind, configs[kind])(x, 16000, utt) for x, utt in items]
    vocoder, sizes = on_gpu(kind, configs), []
    monkeypatch.setattr(type(vocoder), "generate", _counted(type(vocoder).generate, sizes))
    for x, y, want in zip(waves, vocoder.copies(items), alone, strict=True):
        assert y.dtype == np.float32 and y.shape == x.shape
        # random weights may amplify rounding here and there
        assert np.sqrt(np.mean((y - want) ** 2)) < 1e-3 * np.sqrt(np.mean(want**2))
    assert sorted(sizes)[-1] >= 2 and sum(sizes) == len(items), "those of one length are a batch"


def _counted(generate, sizes):
    def counted(self, network, mel, seeds):
        sizes.append(len(mel))
        return generate(self, network, mel, seeds)

    return counted


def test_what_fails_in_a_batch_fails_alone(configs, voice):
    vocoder = on_gpu("hifigan", configs)
    good, silent, again = vocoder.copies([(voice, "a"), (np.zeros(9000, np.float32), "b"), (voice, "c")])
    assert np.array_equal(good, again)
    assert isinstance(silent, MasdError) and "utterance b: the input must be" in str(silent)


def test_a_batch_that_does_not_fit_is_made_one_by_one(configs, voice, monkeypatch):
    vocoder = on_gpu("hifigan", configs)
    generate = type(vocoder).generate

    def small(self, network, mel, seeds):
        if len(mel) > 1 or mel.shape[2] > 60:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(self, network, mel, seeds)

    monkeypatch.setattr(type(vocoder), "generate", small)
    first, second, long = vocoder.copies([(voice[:9000], "a"), (voice[:9000], "b"), (voice, "c")])
    assert first.shape == second.shape == (9000,)
    assert "utterance c: no output (CUDA out of memory)" in str(long)


def test_copies_of_a_gpu_are_others_for_the_digest_and_signal_processing_has_none(configs):
    on_cpu, on_one = get("hifigan", configs["hifigan"]), on_gpu("hifigan", configs)
    assert on_cpu.digest() != on_one.digest()
    other = get("hifigan", configs["hifigan"])
    other.place("cpu:1")
    assert other.digest() == on_one.digest(), "which GPU of a host does not count"
    lpc = get("lpc")
    before = lpc.digest()
    lpc.place(GPU)
    assert not lpc.network and lpc.digest() == before and lpc.device == "cpu"


def test_tf32_is_for_gpus_copies_alone(configs, voice, monkeypatch):
    asked = []
    monkeypatch.setattr(network, "repeatable", lambda tf32: asked.append(tf32) or devices.repeatable(tf32))
    on_gpu("hifigan", configs)(voice, 16000, "a")
    assert asked == [True]


@pytest.fixture
def corpus(tmp_path):
    """A folder of five utterances, three of one length, not in the order of their lengths."""
    lengths = {"s1-a": 0.5, "s1-b": 0.9, "s1-c": 0.5, "s1-d": 0.7, "s1-e": 0.5}
    for k, (utt, seconds) in enumerate(lengths.items()):
        write_wav(tmp_path / f"{utt}.wav", speech(seconds, seed=k))
    wav = {utt: tmp_path / f"{utt}.wav" for utt in lengths}
    return write_folder(tmp_path / "src", wav=wav, utt2spk=dict.fromkeys(lengths, "s1"), utt2dur=lengths).path


def test_a_shard_is_made_by_length_and_is_not_joined_with_one_of_a_cpu(
    configs, corpus, tmp_path, monkeypatch, caplog
):
    sizes, given = [], []
    adapter = type(get("hifigan", configs["hifigan"]))
    monkeypatch.setattr(adapter, "generate", _counted(adapter.generate, sizes))
    monkeypatch.setattr(devices, "device_of", lambda name, job: given.append((name, job)) or GPU)
    monkeypatch.setattr(copies_of, "AT_ONCE", 1.4)

    def shards(num_jobs, **more):
        where = {"out": tmp_path / "out", "wav_dir": tmp_path / "wav"}
        for job in range(1, num_jobs + 1):
            entry.copy_synthesis(
                corpus,
                "hifigan",
                **where,
                vocoder_config=configs["hifigan"],
                job=job,
                num_jobs=num_jobs,
                **more,
            )

    caplog.set_level("INFO", "masd")
    shards(1)
    assert sizes == [3, 1, 1] and given == [("auto", 1)]
    assert "synthesised on cpu:0" in caplog.text
    finish(corpus, "hifigan", tmp_path / "out", 1)
    assert read_folder(tmp_path / "out").utts == [f"hifigan-{utt}" for utt in read_folder(corpus).utts]
    monkeypatch.setattr(devices, "device_of", lambda name, job: GPU if job == 1 else "cpu")
    shards(2)
    with pytest.raises(MasdError, match="shards 1 and 2 differ in input, configuration or device"):
        finish(corpus, "hifigan", tmp_path / "out", 2)


def test_a_gpu_that_is_asked_for_and_not_there_is_one_line(configs, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    where = {"out": tmp_path / "out", "wav_dir": tmp_path / "wav", "device": "cuda"}
    with pytest.raises(MasdError, match="--device cuda: no GPU can be used here"):
        entry.copy_synthesis(corpus, "hifigan", **where, vocoder_config=configs["hifigan"])
    entry.copy_synthesis(corpus, "lpc", **where)  # needs none


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation gives."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numbers = max(self.numbers, out.untyped_storage().nbytes() // 4)
        return out


def test_waveglows_conditions_come_in_pieces_and_are_what_they_are_at_once():
    """At once they are 12 flows of 8192 channels a step at 512 channels: 5.5 GB for 16 s."""
    flow = tiny_flow()
    condition = torch.randn(2, 640, 64, generator=torch.Generator().manual_seed(1))
    for net in flow.WN:
        whole = net.cond_layer(condition)
        pieces = list(net.conditions(condition))
        assert len(pieces) == 3
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-6, atol=1e-6)
    mel = torch.randn(1, 80, 8, generator=torch.Generator().manual_seed(2))
    with Largest() as seen:
        flow(mel, 0.6, network.generators([1]))
    steps, everywhere = 8 * 256 // 8, flow.WN[0].cond_layer.out_channels
    assert seen.numbers <= 640 * steps + 80 * 1024, "the conditions themselves, spread over time"
    assert seen.numbers < 2 * everywhere * steps * 5
