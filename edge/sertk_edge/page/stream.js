// The connection to the daemon: keeps one event stream open, and says how it stands.

const SILENT_MS = 6000;
const CHECK_MS = 2000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15000;

export class Refused extends Error {}

// JSON of a path below v1/; Refused when a token is needed, else an Error with the server's words.
export async function ask(path, options = {}) {
  const response = await fetch(`v1/${path}`, { credentials: "same-origin", ...options });
  if (response.status === 401) throw new Refused("a token is needed");
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    answer = null;
  }
  if (response.ok) return answer;
  throw new Error(answer?.error?.message ?? `the device answered ${response.status}`);
}

export class Stream {
  // `on` has event(data), live(data), state("open" | "lost" | "refused").
  constructor(on) {
    this.on = on;
    this.source = null;
    this.last = 0;
    this.heardMs = 0;
    this.waitMs = FIRST_WAIT_MS;
    this.timer = 0;
    setInterval(() => this._check(), CHECK_MS);
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => document.hidden || this._check());
  }

  open() {
    clearTimeout(this.timer);
    this.source?.close();
    this.heardMs = performance.now();
    const source = new EventSource(`v1/events?after=${this.last}`);
    this.source = source;
    source.addEventListener("emotion", (message) => this._emotion(message));
    source.addEventListener("live", (message) => this._live(message));
    source.addEventListener("error", () => this._failed(source));
  }

  retry() {
    if (this.source === null) this.open();
  }

  _emotion(message) {
    const event = parsed(message.data);
    if (event === null) return;
    this.last = event.sequence;
    this.on.event(event);
  }

  _live(message) {
    const state = parsed(message.data);
    if (state === null) return;
    this.heardMs = performance.now();
    this.waitMs = FIRST_WAIT_MS;
    this.on.state("open");
    this.on.live(state);
  }

  async _failed(source) {
    if (source !== this.source) return;
    source.close();
    this.source = null;
    // The browser does not tell why; a plain request does.
    const refused = await ask("state").then(() => false, (error) => error instanceof Refused);
    this.on.state(refused ? "refused" : "lost");
    if (refused || this.source !== null) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.retry(), this.waitMs);
    this.waitMs = Math.min(this.waitMs * 2, LONGEST_WAIT_MS);
  }

  // A connection can die without a word.
  _check() {
    if (this.source === null || performance.now() - this.heardMs < SILENT_MS) return;
    this.on.state("lost");
    this.open();
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
