// A colour for each emotion: the same one on every page, whatever the order of the labels.
// Colours are never alone: each stands beside the emotion's name.

const NAMES = [
  ["anger", "angry", "frustration"],
  ["happiness", "happy", "joy", "amusement"],
  ["sadness", "sad"],
  ["neutral"],
  ["fear", "fearful", "anxiety"],
  ["disgust", "disgusted"],
  ["surprise", "surprised", "excitement"],
  ["boredom", "bored"],
  ["calm", "calmness"],
  ["contempt"],
  ["pride", "interest"],
  ["shame", "guilt"],
];
export const UNCERTAIN = "uncertain";

// Label to slot; labels without a colour of their own take what is left, in order.
export function slotsOf(labels) {
  const slots = new Map();
  const known = (label) => NAMES.findIndex((names) => names.includes(label.toLowerCase()));
  const free = new Set(NAMES.keys());
  for (const label of labels) {
    const slot = known(label);
    if (free.delete(slot)) slots.set(label, slot);
  }
  for (const label of labels) {
    if (slots.has(label)) continue;
    const [slot] = free.size ? free : [slots.size % NAMES.length];
    free.delete(slot);
    slots.set(label, slot);
  }
  return slots;
}

export class Colours {
  constructor() {
    this.slots = new Map();
    this.values = null;
    const forget = () => { this.values = null; };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", forget);
    matchMedia("(forced-colors: active)").addEventListener("change", forget);
  }

  labels(labels) {
    this.slots = slotsOf(labels);
  }

  // Labels of a model that is gone keep a colour that no other has, as long as there is one.
  _slot(label) {
    if (!this.slots.has(label)) {
      const taken = new Set(this.slots.values());
      const own = slotsOf([label]).get(label);
      const free = [own, ...NAMES.keys()].find((slot) => !taken.has(slot));
      this.slots.set(label, free ?? own);
    }
    return this.slots.get(label);
  }

  // The class that gives an element the colour of a label.
  className(label) {
    if (label === UNCERTAIN || !label) return "tone-uncertain";
    return `tone-${this._slot(label)}`;
  }

  // The colour itself, for the canvas.
  value(label) {
    return this._read(this.className(label));
  }

  ink(name) {
    return this._read(name);
  }

  _read(name) {
    this.values ??= getComputedStyle(document.documentElement);
    return this.values.getPropertyValue(`--${name}`).trim() || "gray";
  }
}
