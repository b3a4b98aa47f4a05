// The emotions of the last minutes. Everything here is bounded: the page stays open for weeks.

export const SPAN_S = 300;
const STEP_S = 0.5;
const SLOTS = SPAN_S / STEP_S;
const MOST_EVENTS = 400;
const MOST_LABELS = 16;
export const LISTED = 20;
const JUMP_S = 5;

export class History {
  constructor() {
    this.events = [];
    this.now = 0;
    this.revision = 0;
    this.live = null;
    this.arrivedMs = 0;
    this.steps = new Float64Array(SLOTS).fill(-1);
    this.levels = new Float32Array(SLOTS);
    this.clipped = new Uint8Array(SLOTS);
    this.curves = new Map();
  }

  // Take an event; false for one that was taken before.
  add(event) {
    if (this.events.some((known) => known.id === event.id)) return false;
    this.events.push(event);
    this.now = Math.max(this.now, event.time_s);
    this.revision += 1;
    this._forget();
    return true;
  }

  // Take the state of the moment.
  see(live, nowMs = performance.now()) {
    this._follow(live, nowMs);
    this.live = live;
    this.arrivedMs = nowMs;
    this.now = live.time_s;
    const slot = this._slot(live.time_s);
    this.levels[slot] = Math.max(this.levels[slot], live.level_dbfs ?? -120);
    this.clipped[slot] |= live.clipping ? 1 : 0;
    for (const [label, probability] of Object.entries(live.probabilities ?? {})) {
      this._curve(label)[slot] = Math.round(probability * 255);
    }
    const last = this.events.at(-1);
    if (last && live.label === last.label && last.kind !== "ended") last.seen_s = live.time_s;
  }

  // The stream has broken: time goes on from whatever comes next.
  lost() {
    this.arrivedMs = 0;
  }

  // Other emotions: the old curves mean nothing now.
  relabel() {
    this.curves.clear();
  }

  // Stretches with one label, oldest first; `to` of one that goes on is now.
  segments() {
    const found = [];
    this.events.forEach((event, index) => {
      if (event.kind === "ended") return;
      const next = this.events[index + 1];
      const open = !next && this.live !== null && this.live.label !== null;
      const to = next?.time_s ?? (open ? this.now : event.seen_s ?? event.time_s + 1);
      if (to <= this.now - SPAN_S) return;
      const { id, label, time_s: from } = event;
      found.push({ id, label, from, to: Math.max(from, to), open, event });
    });
    return found;
  }

  // Calls back with (time, value 0..1) of each known step of a label's curve, oldest first.
  curve(label, take) {
    const values = this.curves.get(label);
    if (values) this._each((time, slot) => take(time, values[slot] / 255));
  }

  // Calls back with (time, dBFS, clipped) of each known step, oldest first.
  level(take) {
    this._each((time, slot) => take(time, this.levels[slot], this.clipped[slot] === 1));
  }

  levelAt(time) {
    const step = Math.floor(time / STEP_S);
    const slot = step % SLOTS;
    return this.steps[slot] === step ? this.levels[slot] : null;
  }

  _each(take) {
    const last = Math.floor(this.now / STEP_S);
    for (let step = last - SLOTS + 1; step <= last; step += 1) {
      const slot = step % SLOTS;
      if (this.steps[slot] === step) take(step * STEP_S, slot);
    }
  }

  _slot(time) {
    const step = Math.floor(time / STEP_S);
    const slot = step % SLOTS;
    if (this.steps[slot] !== step) {
      this.steps[slot] = step;
      this.levels[slot] = -120;
      this.clipped[slot] = 0;
      for (const values of this.curves.values()) values[slot] = 0;
    }
    return slot;
  }

  _curve(label) {
    if (!this.curves.has(label)) {
      if (this.curves.size >= MOST_LABELS) this.curves.clear();
      this.curves.set(label, new Uint8Array(SLOTS));
    }
    return this.curves.get(label);
  }

  // The device's clock was set: what is shown keeps its age.
  _follow(live, nowMs) {
    if (!this.arrivedMs || this.live === null) return;
    const passed = (nowMs - this.arrivedMs) / 1000;
    const jump = live.time_s - this.live.time_s - passed;
    if (Math.abs(jump) < JUMP_S) return;
    this.steps.fill(-1);
    for (const event of this.events) {
      event.time_s += jump;
      if (event.seen_s) event.seen_s += jump;
    }
  }

  _forget() {
    const old = this.now - SPAN_S;
    const extra = this.events.length - LISTED;
    // The one before the oldest shown may still reach into view.
    let drop = this.events.findIndex((_, index) => (this.events[index + 1]?.time_s ?? old) >= old);
    drop = Math.max(Math.min(drop, extra), this.events.length - MOST_EVENTS);
    if (drop > 0) this.events.splice(0, drop);
  }
}
