// Labelled bars, one per emotion, in an order that never changes while they are shown.

import { make, percent, setAttribute, setText } from "./words.js";

export class Bars {
  constructor(list, colours) {
    this.list = list;
    this.colours = colours;
    this.rows = new Map();
  }

  labels(labels) {
    this.rows.clear();
    this.list.replaceChildren(...labels.map((label) => this._row(label)));
  }

  // `probabilities` is null at rest; `label` is the emotion to mark.
  show(probabilities, label) {
    for (const [name, row] of this.rows) {
      const value = probabilities?.[name] ?? 0;
      const text = probabilities ? percent(value) : "\u2013";
      row.fill.style.transform = `scaleX(${value.toFixed(4)})`;
      setText(row.value, text);
      setAttribute(row.meter, "aria-valuenow", Math.round(value * 100));
      setAttribute(row.meter, "aria-valuetext", probabilities ? percent(value) : "nobody speaks");
      row.item.classList.toggle("chosen", name === label);
    }
  }

  _row(label) {
    const item = make("li", `bar ${this.colours.className(label)}`);
    const meter = make("div", "track");
    const fill = make("div", "fill");
    const value = make("span", "value", "\u2013");
    const name = make("span", "name", label);
    meter.setAttribute("role", "meter");
    meter.setAttribute("aria-label", label);
    meter.setAttribute("aria-valuemin", "0");
    meter.setAttribute("aria-valuemax", "100");
    name.setAttribute("aria-hidden", "true");
    value.setAttribute("aria-hidden", "true");
    meter.append(fill);
    item.append(name, meter, value);
    this.rows.set(label, { item, meter, fill, value });
    return item;
  }
}
