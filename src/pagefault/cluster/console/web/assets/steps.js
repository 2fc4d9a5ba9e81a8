// The steps of an agent as a chart: what it was sent, where pages came and went.

import { brief, h, number, s } from "./dom.js";

const HEIGHT = 120;
const TOP = 8;
const BARS = 34;
const LEFT = 44;

export class StepChart {
  /** `go` is told which step was clicked. */
  constructor(go) {
    this.go = go;
    this.drawing = s("svg", { class: "chart", role: "img", height: HEIGHT + BARS + 10, on: {
      click: (event) => this.click(event), pointermove: (event) => this.hover(event), pointerleave: () => { this.tip.textContent = this.rest; },
    } });
    this.tip = h("p", { class: "note chart-tip" });
    this.rest = "";
    this.element = h("div", { class: "chart-box" }, this.drawing, this.tip);
    this.sizes = new ResizeObserver(() => this.rows && this.draw());
    this.sizes.observe(this.element);
  }

  leave() {
    this.sizes.disconnect();
  }

  show(rows, map, step) {
    this.rows = rows.filter((row) => row.is_taken);
    this.map = map;
    this.step = step;
    this.draw();
  }

  draw() {
    const width = Math.max(300, this.element.clientWidth);
    const { rows, map } = this;
    this.drawing.setAttribute("width", width);
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT + BARS + 10}`);
    if (!rows.length) {
      this.drawing.replaceChildren();
      this.tip.textContent = this.rest = "It has taken no step yet.";
      return;
    }
    this.wide = (width - LEFT - 8) / rows.length;
    const most = Math.max(map.prompt_limit, ...rows.map((row) => row.tokens)) * 1.06;
    const y = (tokens) => TOP + (1 - tokens / most) * (HEIGHT - TOP);
    const x = (place) => LEFT + place * this.wide;
    const marks = [["limit", map.prompt_limit], ["low", map.low_tokens]].map(([name, tokens]) => [
      s("line", { class: `rule ${name}`, x1: LEFT, x2: width - 8, y1: y(tokens), y2: y(tokens) }),
      s("text", { class: "axis", x: LEFT - 6, y: y(tokens) + 4, "text-anchor": "end", text: short(tokens) }),
    ]);
    const tops = rows.map((row, place) => `${x(place).toFixed(1)},${y(row.tokens).toFixed(1)} ${x(place + 1).toFixed(1)},${y(row.tokens).toFixed(1)}`).join(" ");
    const area = s("polygon", { class: "area", points: `${LEFT},${HEIGHT} ${tops} ${x(rows.length).toFixed(1)},${HEIGHT}` });
    const line = s("polyline", { class: "line", points: tops });
    const tallest = Math.max(1, ...rows.map((row) => Math.max(row.evictions, row.faults)));
    const bars = rows.flatMap((row, place) => [bar("evictions", row.evictions, 0), bar("faults", row.faults, 1)].filter(Boolean).map(([name, high, half]) =>
      s("rect", { class: `bar-${name}`, x: x(place) + (half * this.wide) / 2, y: HEIGHT + 6 + BARS - high, width: Math.max(1.5, this.wide / 2 - 0.5), height: high })));
    function bar(name, count, half) {
      return count ? [name, Math.max(3, (BARS - 2) * Math.sqrt(count / tallest)), half] : null;
    }
    const at = rows.findIndex((row) => row.step === this.step);
    const cursor = at < 0 ? null : s("rect", { class: "cursor", x: x(at), y: 2, width: Math.max(2, this.wide), height: HEIGHT + BARS + 4 });
    const floor = s("line", { class: "rule", x1: LEFT, x2: width - 8, y1: HEIGHT + 6 + BARS, y2: HEIGHT + 6 + BARS });
    this.drawing.replaceChildren(...[...marks.flat(), area, line, floor, ...bars, cursor].filter(Boolean));
    const sum = (field) => number(rows.reduce((total, row) => total + row[field], 0));
    this.rest = `Steps ${number(rows[0].step)} to ${number(rows.at(-1).step)}: tokens sent, with ${sum("evictions")} evictions and ${sum("faults")} page faults below.`;
    this.drawing.setAttribute("aria-label", this.rest);
    this.tip.textContent = at < 0 ? this.rest : told(rows[at]);
    this.rest = this.tip.textContent;
  }

  at(event) {
    const place = Math.floor((event.offsetX - LEFT) / this.wide);
    return this.rows?.[place];
  }

  click(event) {
    const row = this.at(event);
    if (row) this.go(row.step);
  }

  hover(event) {
    const row = this.at(event);
    this.tip.textContent = row ? told(row) : this.rest;
  }
}

function told(row) {
  const calls = row.calls.length ? ` \u00b7 called ${row.calls.map((name) => brief(name, 40)).join(", ")}` : row.reply ? ` \u00b7 \u201c${brief(row.reply, 60)}\u201d` : "";
  const moved = [row.evictions && `${row.evictions} evicted`, row.faults && `${row.faults} faults`, row.tokens_in && `${number(row.tokens_in)} tokens paged in`].filter(Boolean).join(", ");
  const cause = row.sender ? ` \u00b7 ${brief(row.kind, 20)} of ${brief(row.sender, 40)}: \u201c${brief(row.said, 70)}\u201d` : "";
  return `Step ${number(row.step)}: ${number(row.tokens)} tokens${moved ? `, ${moved}` : ""}${calls}${cause}`;
}

const short = (tokens) => (tokens >= 1000 ? `${(tokens / 1000).toFixed(tokens >= 10000 ? 0 : 1)}k` : String(tokens));
