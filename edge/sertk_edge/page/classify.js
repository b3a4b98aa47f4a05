// A recording that is chosen or dropped: sent, and its emotions shown.

import { Bars } from "./bars.js";
import { UNCERTAIN } from "./colours.js";
import { ask, Refused } from "./stream.js";
import { best, byId, capital, make, percent, REASONS, SPACE } from "./words.js";

const TOP = 4;
const PATIENCE_MS = 90_000;
const seconds = (value) => `${value.toFixed(1)}${SPACE}s`;

export class Classifier {
  constructor(colours, onRefused) {
    this.colours = colours;
    this.onRefused = onRefused;
    this.bars = new Bars(byId("result-bars"), colours);
    this.running = null;
    byId("file").addEventListener("change", (event) => this._chosen(event.target));
    byId("file").addEventListener("keydown", openWithEnter);
    acceptDrops((files) => this.take(files));
  }

  _chosen(input) {
    this.take([...input.files]);
    // The same file can be chosen again.
    input.value = "";
  }

  async take(files) {
    const file = files[0];
    if (!file) return this._fail("What was dropped is not a file.");
    this.running?.abort();
    const running = new AbortController();
    const timer = setTimeout(() => running.abort(), PATIENCE_MS);
    this.running = running;
    this._busy(file.name);
    try {
      const answer = await send(file, running.signal);
      if (running === this.running) this._tell(file.name, answer, files.length - 1);
    } catch (error) {
      if (running === this.running) this._failed(error, file);
    }
    clearTimeout(timer);
  }

  _busy(name) {
    byId("no-file").hidden = true;
    byId("file-error").textContent = "";
    byId("result").hidden = true;
    byId("working-text").textContent = `Classifying ${name}`;
    byId("working").hidden = false;
  }

  _failed(error, file) {
    if (error instanceof Refused) this.onRefused();
    const known = !["TypeError", "AbortError"].includes(error.name);
    // A server that refuses a large body may close before it was all sent.
    const why = known ? error.message : "it could not be sent; it may be too large";
    this._fail(`${file.name}: ${why}`);
  }

  _fail(text) {
    byId("no-file").hidden = true;
    byId("working").hidden = true;
    byId("result").hidden = true;
    byId("file-error").textContent = text;
  }

  _tell(name, answer, ignored) {
    const top = best(answer.probabilities);
    this.bars.labels(top.slice(0, TOP).map(([label]) => label));
    this.bars.show(answer.probabilities, answer.uncertain ? UNCERTAIN : answer.label);
    byId("result-title").textContent = `${name}: ${answer.uncertain ? UNCERTAIN : answer.label}`;
    byId("result-words").textContent = inWords(answer, top, ignored);
    drawStrip(answer, this.colours);
    byId("windows").replaceChildren(...answer.windows.map(windowRow));
    byId("working").hidden = true;
    byId("result").hidden = false;
    byId("result-title").focus({ preventScroll: true });
    byId("result").scrollIntoView({ block: "nearest" });
  }
}

// The space bar opens it by itself; people expect the same of Enter.
function openWithEnter(event) {
  if (event.key !== "Enter") return;
  event.preventDefault();
  event.target.click();
}

async function send(file, signal) {
  const start = await file.slice(0, 4).text();
  const kinds = { RIFF: "audio/wav", fLaC: "audio/flac" };
  const type = kinds[start] ?? (file.type || "application/octet-stream");
  return ask("classify", { method: "POST", body: file, headers: { "Content-Type": type }, signal });
}

function inWords(answer, top, ignored) {
  const [[first, p], second] = top;
  const length = `${seconds(answer.duration_s)} of sound, ${answer.windows.length} ` +
    `window${answer.windows.length === 1 ? "" : "s"}.`;
  const also = second ? `, before ${second[0]} (${percent(second[1])})` : "";
  const text = answer.uncertain
    ? `Too close to call: ${REASONS[answer.reason] ?? REASONS.low_confidence}. ` +
      `Nearest is ${first} (${percent(p)})${also}.`
    : `${capital(first)} is the most probable (${percent(p)})${also}.`;
  const rest = ignored > 0 ? " Only the first of the files was taken." : "";
  return `${text} ${length}${rest}`;
}

const named = (window) => (window.uncertain ? UNCERTAIN : window.label);

// Windows overlap: each counts until the next one begins.
function drawStrip({ windows, duration_s: duration }, colours) {
  const runs = [];
  windows.forEach((window, index) => {
    const from = index ? window.start_s : 0;
    const to = windows[index + 1]?.start_s ?? duration;
    const last = runs.at(-1);
    if (last && last.label === named(window)) last.to = to;
    else runs.push({ label: named(window), from, to });
  });
  byId("strip").replaceChildren(...runs.map((run) => stripPiece(run, colours)));
  byId("strip-end").textContent = seconds(duration);
}

function stripPiece({ label, from, to }, colours) {
  const piece = make("li", colours.className(label));
  const text = `${label}, ${seconds(from)} to ${seconds(to)}`;
  piece.style.flexGrow = Math.max(to - from, 0.01);
  piece.title = text;
  const seen = make("span", "", label);
  seen.setAttribute("aria-hidden", "true");
  piece.append(seen, make("span", "unseen", text));
  return piece;
}

function windowRow(window) {
  const row = make("tr");
  const [nearest, p] = best(window.probabilities)[0];
  const name = window.uncertain ? `${UNCERTAIN}, nearest ${nearest}` : window.label;
  row.append(
    make("td", "", seconds(window.start_s)),
    make("td", "", seconds(window.end_s)),
    make("td", "", name),
    make("td", "number", percent(p)),
  );
  return row;
}

// A file may be dropped anywhere; without this the browser would open it instead.
function acceptDrops(take) {
  let depth = 0;
  const mark = (by) => {
    depth = by === 0 ? 0 : Math.max(0, depth + by);
    document.body.classList.toggle("dragging", depth > 0);
  };
  const isFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => isFile(event) && mark(1));
  addEventListener("dragleave", (event) => isFile(event) && mark(-1));
  addEventListener("dragover", (event) => isFile(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    mark(0);
    if (!isFile(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
}
