"""A report opened in headless Chromium: no console error, no request, nothing wider than a phone."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from masd.report import plots
from masd.report.render import html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium to open the page in")]
# the page's own width, written where --dump-dom shows it; the report itself has no script
PROBE = "<script>document.title = 'width ' + document.documentElement.scrollWidth</script></body>"


def browse(path, *options):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    return subprocess.run(
        [*command, *options, path.as_uri()], capture_output=True, text=True, timeout=300, check=True
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with a wide table, a long word and a figure."""
    row = "|" + " 1.00 |" * 30
    table = f"|{' column |' * 30}\n|{' --: |' * 30}\n{row}\n\na note"
    rows = {"A01": np.array([0.2, 0.5, 0.3]), "A02": np.array([0.1, 0.1, 0.8])}
    drawn = plots.render(plots.shares_plot, 2.0, rows, ("PCS", "HFER", "SFI"), "attention")
    folder = tmp_path_factory.mktemp("page")
    one = f'## One\n\n{"x" * 300}\n\n{table}\n\n![bars](shares "a caption")\n'
    text = html(f"# A report\n\n{one}", f"# More\n\n{one}", {"shares": drawn})
    (folder / "report.html").write_text(text)
    (folder / "probe.html").write_text(text.replace("</body>", PROBE))
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_console_error(page, scheme):
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    shot = page / f"{scheme}.png"
    done = browse(page / "report.html", "--window-size=390,900", f"--screenshot={shot}", *dark)
    assert "CONSOLE" not in done.stderr
    from matplotlib.image import imread

    brightness = imread(shot)[:, :, :3].mean()
    assert brightness > 0.7 if scheme == "light" else brightness < 0.3


@pytest.mark.parametrize("width", [500, 1200])
def test_nothing_makes_the_page_itself_scroll_sideways(page, width):
    done = browse(page / "probe.html", f"--window-size={width},900", "--dump-dom")
    (found,) = re.findall(r"<title>width (\d+)</title>", done.stdout)
    assert int(found) <= width


def test_it_prints(page):
    browse(page / "report.html", f"--print-to-pdf={page / 'page.pdf'}")
    assert (page / "page.pdf").read_bytes().startswith(b"%PDF")
