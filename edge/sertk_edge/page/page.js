// The page: takes what the stream brings, draws at most once per frame, and only while visible.

import { Bars } from "./bars.js";
import { Classifier } from "./classify.js";
import { Colours } from "./colours.js";
import { Changes } from "./changes.js";
import { History } from "./history.js";
import { Meter } from "./meter.js";
import { SignIn } from "./signin.js";
import { States } from "./status.js";
import { ask, Refused, Stream } from "./stream.js";
import { Timeline } from "./timeline.js";
import { byId, clock, isNumber, lasting, LEVELS, percent, REASONS, setText } from "./words.js";

const FRESH_S = 5;
const MODEL_MS = 60_000;
const LONG = 11;

class Page {
  constructor() {
    this.colours = new Colours();
    this.history = new History();
    this.bars = new Bars(byId("bars"), this.colours);
    this.meter = new Meter();
    this.states = new States();
    this.changes = new Changes(this.colours);
    this.timeline = new Timeline(this.history, this.colours);
    this.signIn = new SignIn(() => this.begin());
    this.classifier = new Classifier(this.colours, () => this.signIn.open());
    this.labels = [];
    this.model = null;
    this.modelKey = "";
    this.modelMs = -Infinity;
    this.state = "connecting";
    this.paused = false;
    this.planned = false;
    this.stream = new Stream({
      event: (event) => this.onEvent(event),
      live: (live) => this.onLive(live),
      state: (state) => this.onState(state),
    });
    byId("pause").addEventListener("click", () => this.pause());
    this.begin();
  }

  begin() {
    this.modelMs = -Infinity;
    this.loadModel();
    this.stream.open();
  }

  onEvent(event) {
    if (!this.history.add(event)) return;
    this.announce(event);
    this.title();
    this.plan();
  }

  onLive(live) {
    const first = this.history.live === null;
    this.history.see(live);
    this.meter.update(live);
    if (live.probabilities) this.relabel(Object.keys(live.probabilities));
    this.loadModel(JSON.stringify(live.model ?? null));
    if (first) this.title();
    this.plan();
  }

  onState(state) {
    if (state === this.state) return;
    this.state = state;
    if (state !== "open") this.history.lost();
    const { live, now } = this.history;
    const since = live ? ` What you see is from ${clock(now)}.` : "";
    const banner = byId("banner");
    banner.hidden = state !== "lost";
    setText(banner, state === "lost" ? `Connection lost. Reconnecting by itself.${since}` : "");
    setText(byId("link"), { open: "Connected", lost: "Not connected" }[state] ?? "Signed out");
    byId("link").dataset.state = state;
    byId("panels").classList.toggle("stale", state !== "open");
    this.signIn.show(state === "refused");
    this.title();
    this.plan();
  }

  // The labels may change: another model can take over while the page is open.
  relabel(labels) {
    if (labels.join("\n") === this.labels.join("\n")) return;
    this.labels = labels;
    this.colours.labels(labels);
    this.history.relabel();
    this.bars.labels(labels);
    this.timeline.labels(labels);
    this.changes.redraw();
  }

  // Asked again when the daemon says something new of its model, and now and then.
  async loadModel(key = "") {
    const nowMs = performance.now();
    if (key === this.modelKey && nowMs - this.modelMs < MODEL_MS) return;
    if (nowMs - this.modelMs < 1000) return;
    this.modelKey = key;
    this.modelMs = nowMs;
    try {
      this.model = await ask("model");
      this.relabel(this.model.labels ?? []);
      this.plan();
    } catch (error) {
      if (error instanceof Refused) this.onState("refused");
    }
  }

  // Old events come when the page opens, and after a break: only news is spoken.
  announce(event) {
    const { live } = this.history;
    if (live === null || this.paused || event.time_s < live.time_s - FRESH_S) return;
    const p = event.probabilities?.[event.label];
    const why = LEVELS[event.reason] ? `, ${LEVELS[event.reason]}` : "";
    const text = p === undefined ? `${event.label}${why}` : `${event.label}, ${percent(p)}`;
    byId("announcer").textContent = event.kind === "ended" ? `${event.label} has ended` : text;
  }

  title() {
    const heading = this.state === "open" ? headline(this.history.live) : null;
    document.title = `${heading?.word ?? "Not connected"} \u00b7 SER Toolkit`;
  }

  pause() {
    this.paused = !this.paused;
    setText(byId("pause"), this.paused ? "Resume" : "Pause");
    document.body.classList.toggle("paused", this.paused);
    this.plan();
  }

  // A hidden page gets no frames, so it draws nothing.
  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => {
      this.planned = false;
      if (!this.paused) this.draw();
    });
  }

  draw() {
    const { live } = this.history;
    this.changes.show(this.history);
    this.timeline.draw();
    if (live === null) return;
    const heading = headline(live);
    setText(byId("emotion"), heading.word);
    setText(byId("about"), heading.about);
    const tone = live.label ? this.colours.className(live.label) : "rest";
    byId("emotion").className = `emotion ${tone} ${heading.word.length > LONG ? "long" : ""}`;
    this.bars.show(live.probabilities, live.label);
    this.meter.show(live);
    byId("recording").hidden = !live.recording;
    this.states.show(live, this.model);
  }
}

// What stands in large letters, and the line below it.
function headline(live) {
  if (!live) return { word: "Listening", about: "" };
  const { source = {}, label } = live;
  if (label) return { word: label, about: spoken(live) };
  const elsewhere = {
    lost: ["No sound", `The ${source.kind} was lost. It is tried again.`],
    waiting: ["Waiting", "Nothing is connected that sends sound."],
    ended: ["Ended", "The source has come to its end."],
    starting: ["Starting", "The source is being opened."],
  }[source.state];
  if (elsewhere) return { word: elsewhere[0], about: elsewhere[1] };
  if (live.speech) return { word: "Listening", about: "Somebody speaks. Not long enough to tell." };
  return { word: "Listening", about: "Nobody speaks." };
}

function spoken({ label, reason, probabilities, speech, since_s: sinceS }) {
  const p = probabilities?.[label];
  const since = isNumber(sinceS) ? `for ${lasting(sinceS)}` : "";
  const sure = p === undefined ? (REASONS[reason] ?? REASONS.low_confidence) : percent(p);
  return [sure, since, speech ? "" : "a pause in the speech"].filter(Boolean).join(" \u00b7 ");
}

new Page();
