// The last changes as a table: what the timeline shows, for those who cannot see it.

import { LISTED } from "./history.js";
import { byId, clock, LEVELS, make, percent } from "./words.js";

export class Changes {
  constructor(colours) {
    this.colours = colours;
    this.revision = -1;
  }

  redraw() {
    this.revision = -1;
  }

  show(history) {
    if (history.revision === this.revision) return;
    this.revision = history.revision;
    const latest = history.events.slice(-LISTED).reverse();
    byId("events").replaceChildren(...latest.map((event) => this._row(event)));
    byId("no-events").hidden = latest.length > 0;
  }

  _row(event) {
    const row = make("tr");
    const when = make("td");
    const time = make("time", "", clock(event.time_s));
    time.dateTime = new Date(event.time_s * 1000).toISOString();
    when.append(time);
    const change = make("td", `tagged ${this.colours.className(event.label)}`, event.label);
    change.append(" ", make("span", "kind", event.kind));
    const why = event.kind !== "ended" && LEVELS[event.reason];
    if (why) change.append(" ", make("span", "kind", why));
    const p = event.probabilities?.[event.label];
    row.append(
      when,
      change,
      make("td", "number", p === undefined ? "\u2013" : percent(p)),
    );
    return row;
  }
}
