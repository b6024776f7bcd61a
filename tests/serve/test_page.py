"""The page in Chromium: phones and desks, light and dark, by keyboard, without a word from elsewhere."""

import io
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from browser import CHROMIUM, Tab
from entry_points import ROOT
from matplotlib.image import imread
from scipy.signal import lfilter

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open the page in")]
RATE = 16000
# the contrast of every text that is shown with the ground it stands on; WCAG's formula
CONTRAST = """(() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = rgb(getComputedStyle(node).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("svg, .hidden, noscript")) continue;
    const both = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
    const [a, b] = both.sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(`${node.className}: ${node.textContent.slice(0, 30)}`);
  }
  return bad;
})()"""
SPECTROGRAM = """(() => {
  const canvas = document.querySelector("canvas");
  return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
})()"""
CSV = """new Promise((done) => {
  URL.createObjectURL = (blob) => (blob.text().then(done), "blob:x");
  document.querySelector("#csv").click();
})"""


@pytest.fixture(scope="module")
def address():
    command = [sys.executable, "-m", "masd", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        yield re.match(r"http://[\d.:]+", server.stdout.readline())[0]
        server.terminate()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A recording of two windows, silence, and what is no audio."""
    folder, rng = tmp_path_factory.mktemp("page"), np.random.default_rng(0)
    t = np.arange(6 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 25))
    x = (tone + lfilter([1.0], [1.0, -0.6], rng.normal(size=len(t)))) * (np.sin(18 * t) + 0.5).clip(0)
    soundfile.write(folder / "=speech.wav", 0.1 * x, RATE)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    (folder / "a<b>notes.txt").write_text("no audio")
    return [folder / "=speech.wav", folder / "silent.wav", folder / "a<b>notes.txt"]


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]
)
def test_recordings_are_judged_drawn_and_listed(address, files, width, scheme, tmp_path):
    with Tab(address, width, scheme, tmp_path) as tab:
        tab.until("document.querySelector('#rule')?.textContent")
        assert tab.value(CONTRAST) == []
        tab.choose("#files", files[0])
        tab.until("document.querySelector('.effects')")
        assert not [
            event
            for event in tab.events
            if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")
        ]
        assert tab.value("document.querySelectorAll('.plot.time rect.under').length") == 2
        assert tab.value("document.querySelectorAll('.plot.effect rect').length") == 2
        assert tab.value("document.querySelectorAll('.effects tbody tr').length") == 4 + 9
        heard = tab.value(SPECTROGRAM)
        assert len(set(heard)) > 100, "a spectrogram has many colours"
        tab.choose("#files", *files[1:])
        tab.until(
            "document.querySelectorAll('.item').length === 3 && !document.querySelector('.tag.waiting')"
        )
        assert tab.value("document.querySelector('#many h2').textContent").count(",") >= 1
        assert "a<b>notes.txt" in tab.value("document.querySelector('#list').textContent")
        tab.value("document.querySelector('.list button').focus()")
        tab.press("Tab", 9)
        tab.press("Enter", 13)
        tab.until("document.querySelector('.word.inconclusive')")
        assert "nothing to judge" in tab.value("document.querySelector('.result').textContent")
        assert tab.value("document.activeElement.id") == "result"
        assert tab.value(CONTRAST) == []
        table = tab.value(CSV)
        head, first, second, third = table.splitlines()
        assert head.startswith("file,label,p_fake,score,highest_p_fake") and first.startswith("'=speech.wav,")
        assert second.startswith("silent.wav,inconclusive,") and third.startswith("a<b>notes.txt,,,")
        assert tab.value("document.documentElement.scrollWidth") <= width
        drawn = imread(io.BytesIO(tab.screenshot()))[:, :, :3]
        assert drawn.shape[1] == width and drawn.std() > 0.05
        brightness = np.median(drawn)
        assert brightness > 0.8 if scheme == "light" else brightness < 0.25
        asked = {
            event["params"]["request"]["url"]
            for event in tab.events
            if event.get("method") == "Network.requestWillBeSent"
        }
        assert all(url.startswith((f"{address}/", "blob:", "data:")) for url in asked) and len(asked) > 4


def test_all_controls_have_names_and_are_reached_by_keyboard(address, tmp_path):
    with Tab(address, 390, "light", tmp_path) as tab:
        tab.until("document.querySelector('#rule')?.textContent")
        reached = []
        for _ in range(2):
            tab.press("Tab", 9)
            reached.append(tab.value("document.activeElement.id"))
            shown = "(document.activeElement.closest('label') ?? document.activeElement)"
            assert tab.value(f"getComputedStyle({shown}).outlineStyle") == "solid"
        assert reached == ["files", "record"]
        tree = tab.ask("Accessibility.getFullAXTree")["nodes"]
        controls = [node for node in tree if node.get("role", {}).get("value") == "button"]
        assert {node["name"]["value"] for node in controls} >= {"Choose files", "Record"}
        assert all(node["name"]["value"] for node in controls)
