// The page: recordings go to /api/judge one by one, answers are drawn. No text is ever taken for markup.

const $ = (id) => document.getElementById(id);
const WORDS = { bonafide: "genuine", spoof: "fake", inconclusive: "inconclusive" };
const AT_ONCE = 2;
const SVG = "http://www.w3.org/2000/svg";
// black, violet, orange, pale yellow: evenly brighter, so that grey prints read the same
const COLOURS = [[0, 0, 4], [40, 17, 89], [114, 31, 129], [183, 55, 121], [241, 96, 93], [254, 175, 119], [252, 253, 191]];

const entries = [];
let current = null;
let about = null;
let recorder = null;
let running = 0;

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const styled = (node, styles) => Object.assign(node.style, styles) && node;
const signed = (x) => (Math.abs(x) < 0.005 ? "0.00" : `${x < 0 ? "\u2212" : "+"}${Math.abs(x).toFixed(2)}`);
const seconds = (s) => (s < 60 ? `${+s.toFixed(1)} s` : `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`);
const percent = (x) => `${100 * x}%`;
const sleep = (s) => new Promise((done) => setTimeout(done, 1000 * s));

function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

// Asking

async function ask(file, name, explain) {
  const query = new URLSearchParams({ name, explain });
  for (let tries = 0; ; tries++) {
    const answer = await fetch(`api/judge?${query}`, { method: "POST", body: file });
    const wait = Number(answer.headers.get("Retry-After"));
    if (!wait || tries > 20) {
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.error);
      return said;
    }
    await sleep(wait);
  }
}

function take(files) {
  trouble("");
  const limit = about?.limits.megabytes ?? Infinity;
  let first = null;
  for (const file of files) {
    const entry = { file, name: file.name, state: "waiting" };
    if (file.size > 1e6 * limit) Object.assign(entry, { state: "failed", error: `larger than ${limit} MB` });
    entries.push(entry);
    refresh(entry);
    first ??= entry;
  }
  if (first) select(first, false);
  work();
}

async function work() {
  const entry = entries.find((one) => one.state === "waiting");
  if (!entry || running >= AT_ONCE) return;
  running++;
  entry.state = "judging";
  refresh(entry);
  work();
  try {
    entry.answer = await ask(entry.file, entry.name, false);
    entry.state = "done";
    say(`${entry.name}: ${entry.answer.words.word}, P(fake) ${entry.answer.p_fake.toFixed(2)}`);
  } catch (error) {
    entry.state = "failed";
    entry.error = error.message.startsWith(`${entry.name}: `) ? error.message.slice(entry.name.length + 2) : error.message;
    say(`${entry.name}: not judged: ${entry.error}`);
  }
  running--;
  refresh(entry);
  work();
}

async function explain(entry) {
  if (!about?.explains || entry.why || entry.answer.label === undefined) return;
  entry.why = "asked";
  try {
    entry.why = (await ask(entry.file, entry.name, true)).effects;
  } catch (error) {
    entry.why = error.message;
  }
  if (entry === current) drawEffects(entry);
}

const say = (text) => ($("said").textContent = text);

// Many

function select(entry, move = true) {
  const before = current;
  current = entry;
  if (before && before !== entry) refresh(before);
  refresh(entry);
  if (!move || $("result").hidden) return;
  $("result").focus({ preventScroll: true });
  $("result").scrollIntoView();
}

function refresh(entry) {
  if (!entries.includes(entry)) return; // cleared meanwhile
  $("many").hidden = entries.length < 2;
  $("guide").hidden = true;
  const row = item(entry), focused = entry.row?.contains(document.activeElement);
  if (entry.row) entry.row.replaceWith(row);
  else $("list").append(row);
  entry.row = row;
  if (focused) row.firstChild.focus();
  const counts = {};
  for (const one of entries) {
    const word = one.state === "done" ? one.answer.words.word : one.state === "failed" ? "not judged" : "to come";
    counts[word] = (counts[word] ?? 0) + 1;
  }
  $("manytitle").textContent = Object.entries(counts).map(([word, count]) => `${count} ${word}`).join(", ");
  $("csv").disabled = !entries.some((one) => one.state === "done" || one.state === "failed");
  if (entry === current) draw(entry);
}

function item(entry) {
  const done = entry.state === "done";
  const word = done ? entry.answer.words.word : entry.state === "failed" ? "not judged" : entry.state;
  const kind = done ? word : entry.state === "failed" ? "failed" : "waiting";
  const parts = [el("span", { class: `tag ${kind}` }, word), el("span", { class: "name", title: entry.name }, entry.name)];
  if (done && word === "inconclusive") parts.push(el("span", { class: "error" }, entry.answer.reasons[0]));
  else if (done) {
    const bar = svg("rect", { width: 100 * entry.answer.p_fake, height: 1, class: entry.answer.p_fake >= 0.5 ? "f" : "g" });
    parts.push(
      el("span", { class: "track", "aria-hidden": "true" }, svg("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none" }, bar)),
      el("span", { class: "num" }, el("span", { class: "hidden" }, "P(fake) "), entry.answer.p_fake.toFixed(2)),
    );
  } else if (entry.error) parts.push(el("span", { class: "error" }, entry.error));
  const chosen = { class: "item", type: "button", "aria-current": entry === current ? "true" : null };
  return el("li", {}, el("button", { ...chosen, onclick: () => select(entry) }, ...parts));
}

function table() {
  const columns = ["file", "label", "p_fake", "score", "highest_p_fake", "highest_start", "highest_end", "reasons", "warnings", "error"];
  const rows = entries.filter((one) => one.state === "done" || one.state === "failed").map((one) => {
    // a spreadsheet would run a name that begins like a formula
    const file = /^[=+\-@\t\r]/.test(one.name) ? `'${one.name}` : one.name;
    if (one.state === "failed") return [file, "", "", "", "", "", "", "", "", one.error];
    const { label, p_fake, score, highest, reasons, warnings } = one.answer;
    const figures = [p_fake, score, highest.p_fake].map((x) => x.toFixed(6));
    return [file, label, figures[0], figures[1], figures[2], highest.start.toFixed(3), highest.end.toFixed(3), reasons.join("; "), warnings.join("; "), ""];
  });
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [columns, ...rows].map((row) => row.map(cell).join(",") + "\n").join("");
}

function download() {
  const url = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  el("a", { href: url, download: "verdicts.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// One

function draw(entry) {
  const place = $("result");
  place.hidden = false;
  place.classList.toggle("muted", entry.answer?.label === "inconclusive");
  place.querySelector("audio")?.pause();
  if (entry.state !== "done") {
    const text = entry.state === "failed" ? `Not judged: ${entry.error}` : "Listening\u2026";
    place.replaceChildren(
      el("p", { class: "file", id: "word" }, entry.name),
      el("p", { class: entry.state === "failed" ? "trouble" : "working" }, text),
    );
    return;
  }
  place.replaceChildren(verdict(entry), heard(entry), el("section", { class: "why", id: "why" }));
  explain(entry);
  drawEffects(entry);
}

function verdict({ name, answer }) {
  const { words } = answer;
  const pin = styled(el("span", { class: "pin" }), { left: percent(answer.p_fake) });
  const notes = answer.warnings.filter((line) => !answer.reasons.includes(line));
  return el("div", { class: "verdict" },
    el("div", {},
      el("p", { class: "file" }, name),
      el("h2", { class: `word ${words.word}`, id: "word" }, words.word[0].toUpperCase() + words.word.slice(1)),
      words.reasons.length ? el("ul", { class: "reasons" }, ...words.reasons.map((line) => el("li", {}, line))) : null,
      el("p", {}, words.means),
      answer.label === "inconclusive" ? null : el("div", { class: "scale" },
        el("div", { class: "strip", role: "img", "aria-label": `P(fake) ${answer.p_fake.toFixed(2)} on a scale from genuine, 0, to fake, 1` }, pin),
        el("div", { class: "ends" }, el("span", {}, "genuine"),
          el("span", {}, "P(fake) ", el("span", { class: "num" }, answer.p_fake.toFixed(2))), el("span", {}, "fake"))),
      notes.length ? el("p", { class: "notes" }, `Noted: ${notes.join("; ")}.`) : null),
    el("div", { class: "caution" },
      el("h3", {}, "What it does not mean"),
      el("ul", {}, ...words.not.map((line) => el("li", {}, line)))));
}

function heard(entry) {
  const { spectrogram, windows, highest } = entry.answer;
  const total = spectrogram.seconds;
  const share = spectrogram.cuts.map((cut) => 1 - cut / spectrogram.rows);
  const edges = [0, share[1], share[0], 1]; // from the top: high, mid, low
  const bands = [["high", "4\u20138 kHz"], ["mid", "1\u20134 kHz"], ["low", "0\u20131 kHz"]];
  const labels = bands.map(([name, range], n) =>
    styled(el("span", {}, el("b", {}, name), el("small", {}, range)), { top: percent((edges[n] + edges[n + 1]) / 2) }));
  const lines = share.map((top) => styled(el("div", { class: "bandline" }), { top: percent(top) }));
  const bars = windows.map((w, n) => {
    const place = { ...across(w.start, w.end, windows[n + 1]?.start, total), y: 1 - w.p_fake, height: w.p_fake };
    const told = svg("title", {}, `${seconds(w.start)} to ${seconds(w.end)}: P(fake) ${w.p_fake.toFixed(2)}`);
    const colour = w.p_fake >= 0.5 ? "f" : "g";
    const edge = { ...place, y: Math.min(place.y, 0.96), height: 0.04, class: colour };
    return svg("g", {}, told, svg("rect", { ...place, class: `${colour} under` }), svg("rect", edge));
  });
  const half = svg("line", { x1: 0, x2: 1, y1: 0.5, y2: 0.5, class: "half" });
  const timeline = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none" }, ...bars, half);
  const cursors = [0, 1, 2].map(() => el("div", { class: "play", hidden: true }));
  const where = windows.length > 1
    ? `Each bar is one window; the most suspicious is ${seconds(highest.start)} to ${seconds(highest.end)}, P(fake) ${highest.p_fake.toFixed(2)}.`
    : "The recording is short enough to be one window.";
  entry.url ??= URL.createObjectURL(entry.file);
  const audio = el("audio", { controls: true, src: entry.url, preload: "metadata", "aria-label": `Play ${entry.name}` });
  audio.addEventListener("error", () => (audio.hidden = true)); // a format that the browser does not play
  audio.addEventListener("timeupdate", () => {
    for (const cursor of cursors) styled(cursor, { left: percent(Math.min(audio.currentTime / total, 1)) }).hidden = false;
  });
  const seek = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    audio.currentTime = ((event.clientX - box.left) / box.width) * total;
  };
  return el("section", { class: "heard", "aria-labelledby": "heardtitle" },
    el("h3", { id: "heardtitle" }, "What was heard"),
    audio,
    el("div", { class: "grid" },
      el("div", { class: "axis", "aria-hidden": "true" }, ...labels),
      el("div", { class: "plot spectrum", role: "img", "aria-label": `Spectrogram, 0 to 8 kHz, ${seconds(total)}, with the bands low, mid and high`, onclick: seek },
        canvas(spectrogram), ...lines, cursors[0]),
      el("div", { class: "axis", "aria-hidden": "true" },
        ...[["1", 0.1], ["0", 0.9]].map(([text, top]) => styled(el("span", { class: "num" }, text), { top: percent(top) })),
        styled(el("span", {}, el("b", {}, "P(fake)")), { top: "50%" })),
      el("div", { class: "plot time", role: "img", "aria-label": `P(fake) over time. ${where}`, onclick: seek }, timeline, cursors[1]),
      el("div", { class: "axis", "aria-hidden": "true" },
        styled(el("span", {}, el("b", {}, "effect")), { top: "50%" })),
      el("div", { class: "plot effect", id: "effectplot", onclick: seek }, cursors[2]),
      el("div", {}), ticks(total)),
    el("p", { class: "legend" }, where),
    windows.length > 1 ? el("details", {}, el("summary", {}, "P(fake) window by window"),
      el("div", { class: "table", tabindex: "0", role: "region", "aria-label": "P(fake) window by window" },
        el("table", {},
          el("thead", {}, el("tr", {}, ...["from", "to", "P(fake)"].map((head) => el("th", { scope: "col" }, head)))),
          el("tbody", {}, ...windows.map((w) => el("tr", {}, ...[seconds(w.start), seconds(w.end), w.p_fake.toFixed(2)].map((text) => el("td", { class: "num" }, text)))))))) : null);
}

// where a stretch stands; the last window of a recording may reach back into the one before
function across(start, end, next, total) {
  return { x: start / total, width: Math.max((Math.min(end, next ?? end) - start) / total - 0.001, 0.001) };
}

function canvas({ rows, columns, values }) {
  const bytes = Uint8Array.from(atob(values), (c) => c.charCodeAt(0));
  const node = el("canvas", { width: columns, height: rows });
  const context = node.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const place = (bytes[(rows - 1 - row) * columns + column] / 255) * (COLOURS.length - 1);
      const low = Math.min(Math.floor(place), COLOURS.length - 2);
      for (let c = 0; c < 3; c++) {
        image.data[4 * (row * columns + column) + c] = COLOURS[low][c] + (place - low) * (COLOURS[low + 1][c] - COLOURS[low][c]);
      }
      image.data[4 * (row * columns + column) + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  return node;
}

function ticks(total) {
  const step = [0.5, 1, 2, 5, 10, 30, 60, 120].find((s) => total / s <= 6) ?? 300;
  const at = [];
  for (let t = 0; t < total - 0.6 * step; t += step) at.push(t);
  at.push(total);
  return el("div", { class: "ticks", "aria-hidden": "true" }, ...at.map((t) => styled(el("span", {}, seconds(t)), { left: percent(t / total) })));
}

function drawEffects(entry) {
  const place = $("why");
  if (!place) return;
  if (!about?.explains) return void place.remove();
  const title = el("h3", {}, "What moved the score");
  const found = entry.why;
  if (!found || found === "asked") return void place.replaceChildren(title, el("p", { class: "working" }, "Working it out\u2026"));
  if (typeof found === "string") return void place.replaceChildren(title, el("p", {}, `Not explained: ${found}`));
  const kinds = [["Bands", found.bands], ["Measures", found.measures]].map(([kind, values]) =>
    [kind, Object.entries(values).map(([name, value]) => [name === "other" ? "no band" : name, found.meanings[name], value])]);
  const most = Math.max(1e-9, ...kinds.flatMap(([, rows]) => rows.map(([, , value]) => Math.abs(value))));
  const [bands, measures] = kinds.map(([kind, rows]) => game(kind, rows, most));
  place.replaceChildren(
    el("div", { class: "game" }, title,
      el("p", { class: "sum" }, "The score, higher for genuine, is ", el("span", { class: "num" }, signed(found.score)),
        ". Average figures would have ", el("span", { class: "num" }, signed(found.baseline)),
        "; the effects of all bands add up to the rest, ", el("span", { class: "num" }, signed(found.score - found.baseline)),
        ", and so do those of all measures, and those over time",
        found.error ? ` (each has a standard error of ${found.error.toFixed(2)})` : "", ". Left or down speaks for fake."),
      bands),
    measures);
  drawTime(found, entry.answer.spectrogram.seconds);
}

function drawTime({ windows }, total) {
  const most = Math.max(1e-9, ...windows.map(([, , value]) => Math.abs(value)));
  const bars = windows.map(([start, end, value], n) => {
    const height = Math.max(Math.abs(value) / most, 0.02);
    const place = { ...across(start, end, windows[n + 1]?.[0], total), y: value < 0 ? 0 : -height, height };
    const told = svg("title", {}, `${seconds(start)} to ${seconds(end)}: ${signed(value)}`);
    return svg("rect", { ...place, class: value < 0 ? "f" : "g" }, told);
  });
  const zero = svg("line", { x1: 0, x2: 1, y1: 0, y2: 0, class: "mid" });
  const [low, high] = [windows.reduce((a, b) => (b[2] < a[2] ? b : a)), windows.reduce((a, b) => (b[2] > a[2] ? b : a))];
  const part = ([start, end, value]) => `${signed(value)} from ${seconds(start)} to ${seconds(end)}`;
  $("effectplot").setAttribute("role", "img");
  $("effectplot").setAttribute("aria-label", `Effect over time: lowest ${part(low)}, highest ${part(high)}`);
  $("effectplot").prepend(svg("svg", { viewBox: "0 -1.06 1 2.12", preserveAspectRatio: "none" }, ...bars, zero));
}

function game(kind, rows, most) {
  return el("div", { class: "game" },
    el("h4", {}, kind),
    el("table", { class: "effects" },
      el("thead", { class: "hidden" }, el("tr", {}, ...["part", "bar", "effect"].map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...rows.map(([name, meaning, value]) => {
        const width = Math.abs(value) / most;
        const bar = svg("rect", { x: value < 0 ? -width : 0, width, y: 0.1, height: 0.8, class: value < 0 ? "f" : "g" });
        const axis = svg("line", { x1: 0, x2: 0, y1: 0, y2: 1, class: "mid" });
        return el("tr", {},
          el("th", { scope: "row" }, name.replaceAll("_", " "), meaning ? el("small", {}, meaning) : null),
          el("td", { "aria-hidden": "true" }, svg("svg", { viewBox: "-1.02 0 2.04 1", preserveAspectRatio: "none" }, bar, axis)),
          el("td", { class: "num" }, signed(value)));
      }))));
}

// Recording: as it comes, for what browsers do to voices is what the detector would hear

async function record() {
  if (recorder) return void recorder.stop();
  trouble("");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  } catch (error) {
    return void trouble(`No microphone: ${error.message}.`);
  }
  const kinds = ["audio/webm;codecs=pcm", "audio/webm;codecs=opus", "audio/mp4"];
  recorder = new MediaRecorder(stream, { mimeType: kinds.find((kind) => MediaRecorder.isTypeSupported(kind)), audioBitsPerSecond: 256000 });
  const parts = [], begun = Date.now();
  const limit = about?.limits.seconds ?? 600;
  const clock = setInterval(() => {
    const passed = (Date.now() - begun) / 1000;
    $("recordtext").textContent = `Stop, ${Math.floor(passed / 60)}:${String(Math.floor(passed % 60)).padStart(2, "0")}`;
    if (passed > limit - 1) recorder?.stop();
  }, 250);
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", () => {
    const type = recorder.mimeType;
    recorder = null;
    clearInterval(clock);
    stream.getTracks().forEach((track) => track.stop());
    $("record").classList.remove("recording");
    $("recordtext").textContent = "Record";
    const count = entries.filter((entry) => entry.name.startsWith("recording ")).length + 1;
    take([new File(parts, `recording ${count}.${type.includes("mp4") ? "m4a" : "webm"}`, { type })]);
  });
  recorder.start();
  $("record").classList.add("recording");
  $("recordtext").textContent = "Stop, 0:00";
  say("Recording. Press again to stop.");
}

// Wired

$("files").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = "";
});
$("record").addEventListener("click", record);
if (!navigator.mediaDevices || !window.MediaRecorder) $("record").hidden = true;
$("csv").addEventListener("click", download);
$("clear").addEventListener("click", () => {
  for (const entry of entries) if (entry.url) URL.revokeObjectURL(entry.url);
  entries.length = 0;
  current = null;
  $("many").hidden = $("result").hidden = true;
  $("guide").hidden = false;
  $("result").replaceChildren();
  $("list").replaceChildren();
  $("files").focus();
});
let depth = 0; // dragenter and dragleave come for every child
for (const [kind, change] of [["dragenter", 1], ["dragleave", -1]]) {
  document.addEventListener(kind, () => $("drop").classList.toggle("over", (depth += change) > 0));
}
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  $("drop").classList.remove("over");
  take([...event.dataTransfer.files]);
});

try {
  about = await (await fetch("api/about")).json();
  const { megabytes, seconds: longest } = about.limits;
  $("limits").textContent = `Any audio format, up to ${megabytes} MB and ${longest >= 120 ? `${+(longest / 60).toFixed(1)} minutes` : `${longest} s`} each.`;
  $("rule").textContent = `Model ${about.model}: ${about.rule}.`;
} catch {
  trouble("The server does not answer; start it again with masd serve.");
}
