// The last minutes as lanes, one per emotion: where it was the answer, and how probable it was.

import { UNCERTAIN } from "./colours.js";
import { SPAN_S } from "./history.js";
import { byId, clock, decibels, lasting, make, percent, setAttribute, setText } from "./words.js";

const LEVEL_LANES = 1.5;
const MINUTE_S = 60;
const QUIET_DB = -60;
const HINT = "Point at the timeline, or focus it and press the arrow keys.";

export class Timeline {
  constructor(history, colours) {
    this.history = history;
    this.colours = colours;
    this.box = byId("timeline");
    this.canvas = byId("canvas");
    this.lanes = [];
    this.cursor = null;
    this.listen();
  }

  listen() {
    const move = (event) => this._point(event);
    this.box.addEventListener("pointermove", move);
    this.box.addEventListener("pointerdown", move);
    this.box.addEventListener("pointerleave", (e) => e.pointerType === "mouse" && this._leave());
    this.box.addEventListener("blur", () => this._leave());
    this.box.addEventListener("keydown", (event) => this._key(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  labels(labels) {
    this.current = labels;
    this._arrange([]);
  }

  draw() {
    const segments = this.history.segments();
    this._arrange(segments);
    const view = this._view();
    if (view === null) return;
    view.pen.clearRect(0, 0, view.width, view.height);
    this._grid(view);
    this.lanes.forEach((label, lane) => this._curve(view, label, lane));
    segments.forEach((segment) => this._segment(view, segment));
    this._level(view);
    this._cursorLine(view);
    this._tell(segments);
  }

  // Lanes of the labels that the model has, and of others that are still in sight.
  _arrange(segments) {
    const seen = segments.map((segment) => segment.label);
    const lanes = [...new Set([...(this.current ?? []), UNCERTAIN, ...seen])];
    if (lanes.join("\n") === this.lanes.join("\n")) return;
    this.lanes = lanes;
    const names = [...lanes, "level"].map((name) => make("li", this._nameClass(name), name));
    byId("lane-names").replaceChildren(...names);
    this.box.style.setProperty("--lanes", lanes.length + LEVEL_LANES);
  }

  _nameClass(name) {
    return name === "level" ? "lane-level" : this.colours.className(name);
  }

  _view() {
    const { width, height } = this.box.getBoundingClientRect();
    const pen = this.canvas.getContext("2d");
    if (width < 10 || pen === null) return null;
    const scale = Math.min(devicePixelRatio || 1, 3);
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.canvas.width !== wide) this.canvas.width = wide;
    if (this.canvas.height !== high) this.canvas.height = high;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(this.box);
    const lane = parseFloat(style.getPropertyValue("--lane")) * parseFloat(style.fontSize);
    pen.font = `${Math.round(lane * 0.5)}px ${style.fontFamily}`;
    return { pen, width, height, lane, start: this.history.now - SPAN_S };
  }

  _x(view, time) {
    return Math.min(Math.max((time - view.start) / SPAN_S, 0), 1) * view.width;
  }

  _grid({ pen, width, height, lane, start }) {
    const floor = (this.lanes.length + LEVEL_LANES) * lane;
    pen.fillStyle = this.colours.ink("hairline");
    for (let i = 1; i <= this.lanes.length; i += 1) pen.fillRect(0, i * lane - 1, width, 1);
    pen.fillRect(0, floor - 1, width, 1);
    if (!this.history.now) return;
    pen.textBaseline = "bottom";
    // On a narrow screen only some minutes are named.
    const named = Math.ceil((pen.measureText("00:00 ").width * SPAN_S) / width / MINUTE_S);
    const first = Math.ceil(start / MINUTE_S) * MINUTE_S;
    for (let time = first; time < start + SPAN_S; time += MINUTE_S) {
      const x = this._x({ width, start }, time);
      pen.fillStyle = this.colours.ink("hairline");
      pen.fillRect(x, 0, 1, floor);
      if (Math.round(time / MINUTE_S) % named === 0) {
        this._tick(pen, clock(time, false), x, width, height);
      }
    }
  }

  _tick(pen, text, x, width, y) {
    const half = pen.measureText(text).width / 2;
    if (x - half < 0 || x + half > width) return;
    pen.fillStyle = this.colours.ink("muted");
    pen.fillText(text, x - half, y);
  }

  _curve(view, label, lane) {
    const { pen } = view;
    const floor = (lane + 1) * view.lane - 1;
    const step = view.width / (SPAN_S * 2);
    pen.fillStyle = this.colours.value(label);
    pen.globalAlpha = 0.45;
    this.history.curve(label, (time, value) => {
      const high = value * (view.lane - 4);
      if (high > 0.5) pen.fillRect(this._x(view, time), floor - high, step + 0.3, high);
    });
    pen.globalAlpha = 1;
  }

  // `uncertain` is striped: it is no emotion.
  _fill(pen, label) {
    const colour = this.colours.value(label);
    if (label !== UNCERTAIN) return colour;
    if (this.stripes?.colour !== colour) this.stripes = { colour, pattern: striped(pen, colour) };
    return this.stripes.pattern;
  }

  _segment(view, segment) {
    const { pen } = view;
    const top = this.lanes.indexOf(segment.label) * view.lane;
    const left = this._x(view, segment.from);
    const wide = Math.max(this._x(view, segment.to) - left, 2);
    pen.fillStyle = this._fill(pen, segment.label);
    pen.fillRect(left, top + 3, wide, view.lane - 7);
  }

  _level(view) {
    const { pen } = view;
    const high = view.lane * LEVEL_LANES;
    const floor = this.lanes.length * view.lane + high - 1;
    const step = view.width / (SPAN_S * 2);
    this.history.level((time, level, clipped) => {
      const share = Math.min(1, Math.max(0.02, 1 - level / QUIET_DB)) * (high - 6);
      pen.fillStyle = this.colours.ink("level");
      pen.fillRect(this._x(view, time), floor - share, step + 0.3, share);
      if (!clipped) return;
      pen.fillStyle = this.colours.ink("danger");
      pen.fillRect(this._x(view, time), floor - high + 1, Math.max(step, 1) + 0.3, 3);
    });
  }

  _cursorLine(view) {
    if (this.cursor === null) return;
    view.pen.fillStyle = this.colours.ink("ink");
    view.pen.fillRect(this._x(view, this.cursor.time) - 0.5, 0, 1, view.height - view.lane * 0.8);
  }

  _point(event) {
    const { left, width } = this.box.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
    const now = this.history.now;
    this.cursor = { time: now - SPAN_S * (1 - share), id: null };
    this.draw();
  }

  _leave() {
    this.cursor = null;
    this.draw();
  }

  // Arrow keys go from one stretch to the next.
  _key(event) {
    const segments = this.history.segments();
    const at = this._chosen(segments);
    const last = segments.length - 1;
    const from = at < 0 ? last + 1 : at;
    const targets = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last };
    targets.ArrowDown = targets.ArrowLeft;
    targets.ArrowUp = targets.ArrowRight;
    if (event.key === "Escape") return this._leave();
    if (!(event.key in targets)) return undefined;
    event.preventDefault();
    const target = segments[Math.min(Math.max(targets[event.key], 0), last)];
    if (target) this.cursor = { time: middle(target, this.history.now), id: target.id };
    return this.draw();
  }

  _chosen(segments) {
    if (this.cursor === null) return -1;
    const { id, time } = this.cursor;
    const byKey = segments.findIndex((segment) => segment.id === id);
    return byKey >= 0 ? byKey : segments.findIndex((s) => s.from <= time && time <= s.to);
  }

  _tell(segments) {
    const now = this.history.now;
    if (this.cursor === null) {
      setText(byId("reading"), HINT);
      setAttribute(this.box, "aria-valuenow", 0);
      setAttribute(this.box, "aria-valuetext", summary(segments));
      return;
    }
    const segment = segments[this._chosen(segments)];
    const text = segment ? description(segment) : quiet(this.cursor.time, this.history);
    setText(byId("reading"), text);
    setAttribute(this.box, "aria-valuenow", Math.round(this.cursor.time - now));
    setAttribute(this.box, "aria-valuetext", text);
  }
}

function striped(pen, colour) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const brush = tile.getContext("2d");
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 3, 6);
  brush.globalAlpha = 0.35;
  brush.fillRect(3, 0, 3, 6);
  return pen.createPattern(tile, "repeat");
}

function middle(segment, now) {
  return (Math.max(segment.from, now - SPAN_S) + segment.to) / 2;
}

function description({ label, from, to, open, event }) {
  const p = event.probabilities?.[label];
  const length = `${open ? "so far " : ""}${lasting(to - from)}`;
  return [label, p === undefined ? "" : percent(p), `from ${clock(from)}`, length]
    .filter(Boolean).join(", ");
}

function quiet(time, history) {
  const level = history.levelAt(time);
  return `${clock(time)}, no emotion${level === null ? "" : `, ${decibels(level)}`}`;
}

function summary(segments) {
  if (!segments.length) return "no emotion yet";
  const last = segments.at(-1);
  const count = segments.length === 1 ? "1 stretch" : `${segments.length} stretches`;
  return `${count}, the last is ${last.label}`;
}
