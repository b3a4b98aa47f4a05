// How the parts of the daemon stand: model, source of sound, sinks, spool.

import { byId, clock, make } from "./words.js";

const GOOD = ["ok"];
const BAD = ["lost", "rejected", "failing"];
const SINKS = { mqtt: "MQTT broker", json_lines: "JSON lines", webhook: "Webhook" };
const SOURCES = { microphone: "Microphone", file: "File", pcm: "PCM input", wyoming: "Satellite" };

const tone = (state) => (GOOD.includes(state) ? "good" : BAD.includes(state) ? "bad" : "waiting");
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

export class States {
  constructor() {
    this.names = "";
    this.shown = new Map();
  }

  show(live, model) {
    const parts = [recordingRow(live), modelRow(live, model), sourceRow(live)];
    const found = [...parts, ...sinkRows(live), spoolRow(live)].filter(Boolean);
    const names = found.map((row) => row.name).join("\n");
    if (names !== this.names) this.shown.clear();
    if (names !== this.names) byId("states").replaceChildren(...found.map(() => make("div")));
    this.names = names;
    found.forEach((row, index) => this._row(row, index));
  }

  // What has not changed stays: somebody may be reading it.
  _row(row, index) {
    const key = JSON.stringify(row);
    if (this.shown.get(index) === key) return;
    this.shown.set(index, key);
    byId("states").children[index].replaceWith(draw(row));
  }
}

function draw({ name, title, state, words, notes }) {
  const group = make("div", `part ${tone(state)}`);
  const value = make("dd");
  const line = make("p", "part-line");
  line.append(make("span", "word", words ?? state));
  if (title) line.append(" \u00b7 ", make("span", "title", title));
  value.append(line, ...notes.filter(Boolean).map((note) => make("p", "note", note)));
  group.append(make("dt", "", name), value);
  return group;
}

function modelRow(live, model) {
  const { name = "", state = "ok", detail = "" } = live.model ?? {};
  const rejected = model?.rejected;
  const bad = Boolean(rejected) || state === "rejected";
  return {
    name: "Model",
    title: `${model?.name ?? name}${bad ? " goes on" : ""}`,
    state: bad ? "rejected" : state,
    words: bad ? "new bundle rejected" : undefined,
    notes: [rejected ? rejectedText(rejected) : detail, model && modelText(model)],
  };
}

function rejectedText({ file, reason, time_s: time }) {
  const name = String(file ?? "").split("/").pop();
  return `${time ? `${clock(time, false)}, ` : ""}${name}: ${reason}`;
}

function modelText(model) {
  const runtime = model.runtime ? `${model.runtime.name} ${model.runtime.version}` : "";
  const window = model.window_s ? `${Number(model.window_s.toFixed(2))} s window` : "";
  const signed = model.signed === true ? "signed" : "";
  const hash = model.sha256 ? model.sha256.slice(0, 8) : "";
  return [model.quantization, window, runtime, signed, hash].filter(Boolean).join(" \u00b7 ");
}

function recordingRow(live) {
  if (!live.recording) return null;
  return { name: "Debugging", title: "", state: "failing", words: "recording", notes: [
    "All audio is written to disk.",
  ] };
}

function sourceRow(live) {
  const { kind = "", name = "", state = "starting", detail = "" } = live.source ?? {};
  return { name: SOURCES[kind] ?? "Source", title: name, state, notes: [detail] };
}

function sinkRows(live) {
  const sinks = live.sinks ?? [];
  if (!sinks.length) {
    return [{ name: "Sinks", title: "", state: "none", words: "none", notes: [
      "Events go to this page and to v1/events alone.",
    ] }];
  }
  return sinks.map((sink) => ({
    name: SINKS[sink.name] ?? sink.name,
    title: "",
    state: sink.state,
    notes: [
      sink.detail,
      sink.pending ? `${count(sink.pending, "event")} waiting` : "",
      sink.dropped ? `${count(sink.dropped, "event")} dropped, the store was full` : "",
    ],
  }));
}

function spoolRow(live) {
  const { state = "ok", detail = "" } = live.spool ?? {};
  if (state === "ok" && !detail) return null;
  return { name: "Event store", title: "", state: state === "ok" ? "ok" : "failing",
    words: state, notes: [detail] };
}
