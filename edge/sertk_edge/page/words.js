// Numbers as people read them, and small helpers for the document.

const MINUS = "\u2212";
// A number and its unit stay on one line.
export const SPACE = "\u00a0";

export const byId = (id) => document.getElementById(id);

export function percent(probability) {
  return `${Math.round(probability * 100)}${SPACE}%`;
}

export function decibels(level) {
  const rounded = Math.round(Math.abs(level));
  return `${level < -0.5 ? MINUS : ""}${rounded}${SPACE}dBFS`;
}

export function clock(timeS, seconds = true) {
  const shown = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (seconds) shown.second = "2-digit";
  return new Date(timeS * 1000).toLocaleTimeString([], shown);
}

// How long something has lasted: "8 s", "3 min 5 s", "2 h 4 min".
export function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}${SPACE}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}${SPACE}min ${whole % 60}${SPACE}s`;
  return `${Math.floor(whole / 3600)}${SPACE}h ${Math.floor((whole % 3600) / 60)}${SPACE}min`;
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

// Only what differs is written: a screen reader and the layout are left in peace.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

// Why speech is uncertain.
export const REASONS = {
  low_confidence: "no emotion is probable enough",
  too_quiet: "quieter than the speech of the training",
  too_loud: "louder than the speech of the training",
};

export const LEVELS = { too_quiet: "too quiet", too_loud: "too loud" };

export function best(probabilities) {
  return Object.entries(probabilities ?? {}).sort((a, b) => b[1] - a[1]);
}
