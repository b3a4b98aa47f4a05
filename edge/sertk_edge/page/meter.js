// Input level in dB below full scale, with a peak that is held and a light for clipping.

import { byId, decibels, isNumber, setAttribute, setText } from "./words.js";

const FLOOR_DB = -60;
const HOLD_S = 2;
const FALL_DB_PER_S = 12;
const LIGHT_MS = 4000;

const share = (level) => Math.min(1, Math.max(0, 1 - level / FLOOR_DB));

export class Meter {
  constructor() {
    this.peak = FLOOR_DB;
    this.peakMs = 0;
    this.shownMs = 0;
    this.clippedMs = -Infinity;
  }

  // Every message counts, also those that are not drawn.
  update(live, nowMs = performance.now()) {
    const peak = isNumber(live.peak_dbfs) ? live.peak_dbfs : FLOOR_DB;
    if (live.clipping) this.clippedMs = nowMs;
    const heldS = (nowMs - this.peakMs) / 1000;
    const passedS = (nowMs - this.shownMs) / 1000;
    if (heldS > HOLD_S) this.peak -= FALL_DB_PER_S * Math.min(passedS, heldS - HOLD_S);
    this.shownMs = nowMs;
    if (peak >= this.peak) {
      this.peak = peak;
      this.peakMs = nowMs;
    }
  }

  show(live) {
    const level = isNumber(live.level_dbfs) ? live.level_dbfs : FLOOR_DB;
    const below = level <= FLOOR_DB;
    const peak = Math.max(this.peak, FLOOR_DB);
    const text = below ? `below ${decibels(FLOOR_DB)}` : decibels(level);
    byId("level-fill").style.clipPath = `inset(0 ${(100 - share(level) * 100).toFixed(1)}% 0 0)`;
    byId("level-peak").style.left = `${(share(peak) * 100).toFixed(1)}%`;
    setText(byId("level-text"), text);
    setText(byId("peak-text"), peak > FLOOR_DB ? `peak ${decibels(peak).replace(/\s.*/, "")}` : "");
    setAttribute(byId("level"), "aria-valuenow", Math.round(Math.max(level, FLOOR_DB)));
    setAttribute(byId("level"), "aria-valuetext", `${text}, peak ${decibels(peak)}`);
    this._light();
  }

  _light() {
    const lit = performance.now() - this.clippedMs < LIGHT_MS;
    const lamp = byId("clipping");
    lamp.classList.toggle("lit", lit);
    setText(lamp, lit ? "clipping" : "not clipping");
  }
}
