"""The API: the library's verdicts, for this machine's own page and programs, and nothing kept."""

import base64
import io
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import numpy as np
import pytest
import soundfile
from entry_points import ROOT, call
from scipy.signal import lfilter
from starlette.testclient import TestClient

import masd
from masd.errors import MasdError
from masd.judge.verdict import Verdict, Window
from masd.pretrained import PLUS
from masd.serve.app import HEADERS, PAGE, make_app
from masd.serve.limits import Limits
from masd.serve.words import NEVER, in_words
from masd.stage.seeding import generator
from masd.systems import load

RATE = 16000
HERE = "http://127.0.0.1:8000"
written = None  # a list while what is opened for writing is noted


def note(event, details):
    if (
        written is not None
        and event == "open"
        and isinstance(details[1], str)
        and set(details[1]) & set("wax+")
    ):
        written.append(details[0])


sys.addaudithook(note)


def sound(name, seconds=2.0, format="WAV"):
    """A file's bytes: syllables of harmonics over noise, another recording for every name."""
    rng, t = generator(0, name), np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * rng.uniform(90, 240) * k * t) / k for k in range(1, 25))
    x = (tone + lfilter([1.0], [1.0, -0.6], rng.normal(size=len(t)))) * (
        np.sin(18 * t + rng.uniform(0, 6)) + 0.5
    ).clip(0)
    file = io.BytesIO()
    soundfile.write(file, 0.5 * x / np.abs(x).max(), RATE, format=format)
    return file.getvalue()


@pytest.fixture(scope="module")
def system():
    return load(PLUS)


@pytest.fixture
def opened(system):
    """Makes clients, of one event loop each."""
    clients = []

    def open_client(**limits):
        clients.append(TestClient(make_app(system, Limits(**limits)), base_url=HERE))
        return clients[-1].__enter__()

    yield open_client
    for client in clients:
        client.__exit__(None, None, None)


def judge(client, audio, name="x.wav", **query):
    return client.post("/api/judge", params={"name": name, **query}, content=audio)


def test_an_answer_is_the_librarys_verdict_with_words_and_a_spectrogram(opened):
    audio = sound("one", 6.0)
    expected = masd.Detector().judge(audio, name="x.wav")
    answer = judge(opened(), audio).json()
    assert (answer["file"], answer["score"], answer["label"]) == ("x.wav", expected.score, expected.label)
    assert [w["p_fake"] for w in answer["windows"]] == [w.p_fake for w in expected.windows]
    assert answer["prior"] == 0.5 and "effects" not in answer
    assert answer["words"]["word"] in ("genuine", "fake", "inconclusive") and NEVER in answer["words"]["not"]
    picture = answer["spectrogram"]
    values = base64.b64decode(picture["values"])
    assert len(values) == picture["rows"] * picture["columns"] and max(values) == 255
    assert picture["seconds"] == 6.0 and len(picture["cuts"]) == 2


def test_effects_are_there_where_they_are_asked_for(opened):
    answer = judge(opened(), sound("one", 6.0), explain="true").json()
    effects = answer["effects"]
    for kind in (effects["bands"].values(), effects["measures"].values(), [w[2] for w in effects["windows"]]):
        assert sum(kind) == pytest.approx(answer["score"] - effects["baseline"], abs=1e-6)


def test_the_page_says_which_model_judges_and_what_is_taken(opened):
    about = opened(seconds=90.0).get("/api/about").json()
    assert about["model"] == "plus" and about["explains"] and about["limits"]["seconds"] == 90
    assert "on development data" in about["rule"]


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/api/judge", 405)])
def test_what_is_not_there_is_said_in_json(opened, path, status):
    answer = opened().get(path)
    assert answer.status_code == status and "POST /api/judge" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/icon.svg", "/api/about", "/nothing"])
def test_every_answer_has_the_strict_headers(opened, path):
    answer = opened().get(path)
    assert answer.status_code == (404 if path == "/nothing" else 200)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


def test_the_page_loads_nothing_from_elsewhere_and_takes_no_text_for_markup():
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//\w+\.|@import|url\(", text), path
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|\sstyle=|<script>", text
        ), path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8000"}, 403),
        ({"Host": "127.0.0.1.evil.example:8000"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": HERE}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_other_names_and_other_sites_are_refused(opened, headers, status):
    """DNS that was pointed here shows in Host, a page of another site in Origin or Sec-Fetch-Site."""
    answer = opened().get("/api/about", headers=headers)
    assert answer.status_code == status
    assert ("error" in answer.json()) == (status == 403)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("limits", "audio", "query", "status", "said"),
    [
        ({"megabytes": 0.05}, sound("large"), {}, 413, "larger than 0.05 MB; send a part of it"),
        ({"megabytes": 0.05}, iter([sound("large")[:40000], bytes(40000)]), {}, 413, "larger than 0.05 MB"),
        ({"seconds": 1.5}, sound("long"), {}, 422, "x.wav: longer than 1.5 s; cut it into parts"),
        ({"seconds": 1.5}, sound("long", format="FLAC"), {}, 422, "x.wav: longer than 1.5 s"),
        ({}, b"", {}, 400, "no audio in the request's body"),
        ({}, b"no audio", {}, 422, "x.wav: "),
        ({}, sound("x"), {"explain": "maybe"}, 400, "explain: true or false"),
    ],
)
def test_what_is_not_taken_is_one_line(opened, limits, audio, query, status, said):
    answer = judge(opened(**limits), audio, **query)
    assert answer.status_code == status and answer.json()["error"].startswith(said)
    assert "\n" not in answer.json()["error"]


def test_a_client_has_its_share_of_a_minute(opened):
    client = opened(per_minute=2)
    codes = [judge(client, sound("x")).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    refused = judge(client, sound("x"))
    assert (
        1 <= int(refused.headers["Retry-After"]) <= 61 and "more than 2 requests" in refused.json()["error"]
    )
    assert client.get("/api/about").status_code == 200


def test_several_at_a_time_are_not_mixed_up(opened):
    client, sounds = (
        opened(jobs=3, waiting=20),
        {f"{n}.wav": sound(f"several {n}", 1 + n / 4) for n in range(10)},
    )
    detector = masd.Detector()
    expected = {name: detector.judge(audio, name=name).score for name, audio in sounds.items()}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda name: judge(client, sounds[name], name).json(), sounds))
    assert {answer["file"]: answer["score"] for answer in answers} == expected
    assert len(set(expected.values())) == 10


def test_what_waits_beyond_the_limit_is_told_to_come_again_and_the_rest_is_judged(opened, monkeypatch):
    going, go = threading.Semaphore(0), threading.Event()
    here, most = [], []

    def held(*given, **more):
        here.append(1)
        most.append(len(here))
        going.release()
        assert go.wait(60)
        here.pop()
        raise MasdError("held")

    monkeypatch.setattr("masd.serve.app.spectrogram", held)
    client, audio = opened(jobs=1, waiting=1), sound("x")
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(judge, client, audio)
        assert going.acquire(timeout=60)
        (refused,), (waits,) = wait(
            [pool.submit(judge, client, audio) for _ in range(2)], 50, FIRST_COMPLETED
        )
        assert refused.result().status_code == 503 and refused.result().headers["Retry-After"]
        assert "busy" in refused.result().json()["error"]
        go.set()
        assert [first.result().status_code, waits.result().status_code] == [422, 422]
    assert max(most) == 1


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_nothing_is_written_while_a_recording_is_judged(opened, format):
    global written
    client, audio = opened(), sound("kept", 5.0, format)
    judge(client, audio, explain="true")  # whatever is imported, is
    written = []
    try:
        answer = judge(client, audio)
        open("/dev/null", "w").close()
        assert answer.status_code == 200 and written == ["/dev/null"], "the check sees writing"
    finally:
        written = None


@pytest.mark.parametrize(
    ("label", "p", "found", "not_found"),
    [
        ("bonafide", [0.1, 0.2], "passed as genuine", "may be fake"),
        ("bonafide", [0.1, 0.9, 0.8], "a part may be fake: 4.0 to 12.0 s", "called fake"),
        ("bonafide", [0.1, 0.6, 0.1], "passed as genuine", "may be fake"),
        ("spoof", [0.9, 0.9], "of the genuine ones were called fake", "passed as genuine"),
        ("inconclusive", [0.9, 0.9], "not a verdict", "passed as genuine"),
    ],
)
def test_a_verdict_in_words_says_what_it_does_not_mean(system, label, p, found, not_found):
    from masd.judge.verdict import Judge

    windows = [Window(4.0 * i, 4.0 * i + 4.0, each) for i, each in enumerate(p)]
    reasons = ["silent: nothing to judge"] if label == "inconclusive" else []
    words = in_words(Verdict("x", 0.0, 0.5, label, reasons, reasons, windows), Judge(system))
    text = " ".join([words["means"], *words["not"]])
    assert (
        found in text and not_found not in text and words["reasons"] == reasons and words["not"][-1] == NEVER
    )


def test_the_command_serves_this_machine_alone_until_it_is_interrupted(tmp_path):
    command = [sys.executable, "-m", "masd", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as server:
        try:
            line = server.stdout.readline()
            address = re.match(r"(http://127\.0\.0\.1:(\d+)) judges by ", line)
            with urllib.request.urlopen(address[1], timeout=60) as answer:
                assert b"Is this recording synthetic?" in answer.read()
            done = call("serve", "--port", address[2])
            assert done.returncode == 1 and done.stderr.count("\n") == 1
            assert done.stderr.startswith(f"serve: error: --port {address[2]}: ")
        finally:
            server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=60)
    assert (server.returncode, said) == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limits.megabytes", "0"], "--limits.megabytes 0: must be above 0"),
        (["--limits.seconds", ".nan"], "--limits.seconds nan: "),
        (["--port", "99999"], "--port 99999: "),
        (["--model", "nowhere"], "nowhere"),
        (["--prior", "2"], "--prior 2: must lie strictly between 0 and 1"),
    ],
)
def test_a_wrong_request_is_one_line(words, said):
    done = call("serve", *words)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
