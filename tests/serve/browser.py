"""Chromium without a screen, driven over a pipe by the DevTools protocol: messages that end with a zero."""

import base64
import json
import os
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tab:
    """A page of its own browser, which ends with the `with`."""

    def __init__(self, url, width, scheme, profile):
        self._read, theirs = os.pipe()
        ours, self._write = os.pipe()
        # the browser takes messages from 3 and gives them on 4
        script = f'exec 3<&{ours} 4>&{theirs}; exec "$@"'
        words = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", CHROMIUM, *words],
            pass_fds=(ours, theirs),
            stderr=subprocess.DEVNULL,
        )
        os.close(ours), os.close(theirs)
        self._held, self._number, self._session, self.events = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Emulation.setScrollbarsHidden", hidden=True)
        self.ask("Page.navigate", url=url)

    def ask(self, method, **given):
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        os.write(
            self._write,
            json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0",
        )
        while True:
            while b"\0" not in self._held:
                part = os.read(self._read, 1 << 16)
                assert part, "the browser ended"
                self._held += part
            text, _, self._held = self._held.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def value(self, expression):
        """What a JavaScript expression comes to."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression, seconds=120):
        """Wait for an expression to be true."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < end, f"{expression}: not in {seconds} s"
            time.sleep(0.1)

    def choose(self, selector, *files):
        """Give files to an input."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in files])

    def press(self, key, code):
        more = {
            "key": key,
            "code": key,
            "windowsVirtualKeyCode": code,
            "text": "\r" if key == "Enter" else "",
        }
        self.ask("Input.dispatchKeyEvent", type="keyDown", **more)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **more)

    def screenshot(self):
        """The whole page, a PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()
        os.close(self._read), os.close(self._write)
