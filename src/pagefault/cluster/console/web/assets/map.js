// The fleet: a cell for every agent on a canvas, and the same agents as a table beside it.

import { brief, colour, compact, h, number, percent, plural, say, span, words } from "./dom.js";
import { PHASES, SORTS, addressOf, chosen, fleet } from "./fleet.js";

const CELL_MIN = 7;
const CELL_MAX = 56;
const NAMED_AT = 90; // pixels: so wide cells have a name
const FLASH_MS = 700;
const ROWS_MAX = 200;
const RAMP = 8;
const NAMED_HIGH = 34;
const COLOURS = { phase: "Phase", pressure: "Pressure", waiting: "Mailbox", faults: "Page faults" };
const remembered = { text: "", phases: new Set(), sort: "name", by: "phase", cursor: null };

/** Made when the view is entered; `leave` ends it. */
export function fleetView(place) {
  const view = new FleetView(place);
  return { leave: () => view.leave() };
}

class FleetView {
  constructor(place) {
    this.shown = [];
    this.hovered = null;
    this.frames = [];
    this.isOver = false;
    this.build(place);
    this.palette();
    this.onChange = () => this.refresh();
    this.onScheme = () => { this.palette(); this.draw(); };
    fleet.addEventListener("change", this.onChange);
    window.addEventListener("scheme", this.onScheme);
    this.sizes = new ResizeObserver(() => this.layout());
    this.sizes.observe(this.box);
    this.refresh();
  }

  leave() {
    this.isOver = true;
    fleet.removeEventListener("change", this.onChange);
    window.removeEventListener("scheme", this.onScheme);
    this.sizes.disconnect();
  }

  build(place) {
    this.search = h("input", {
      type: "search", placeholder: "Name or host  /", "aria-label": "Filter by name or host", value: remembered.text,
      autocomplete: "off", spellcheck: "false", maxlength: "200",
      on: { input: () => { remembered.text = this.search.value; this.refresh(); } },
    });
    const by = select("Colour", COLOURS, remembered.by, (value) => { remembered.by = value; this.refresh(); });
    const sort = select("Order", Object.fromEntries(Object.entries(SORTS).map(([key, { label }]) => [key, label])), remembered.sort,
      (value) => { remembered.sort = value; this.refresh(); });
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Phases: choose which are shown" });
    this.canvas = h("canvas", {
      class: "cells", tabindex: "0", role: "application", "aria-roledescription": "map of agents",
      "aria-describedby": "map-help",
      on: {
        pointermove: (event) => this.hover(event), pointerleave: () => this.hover(null),
        click: (event) => this.click(event), keydown: (event) => this.key(event),
        focus: () => this.draw(), blur: () => this.draw(),
      },
    });
    this.box = h("div", { class: "cells-box" }, this.canvas);
    this.tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.body = h("tbody");
    this.more = h("p", { class: "note" });
    const head = h("tr", {}, ["Agent", "Phase", "Context", "Mail", "Steps", "Faults"].map((text, column) =>
      h("th", { scope: "col", class: column > 1 ? "figure" : "", text })));
    const table = h("table", { class: "agents", "aria-label": "Agents" }, h("thead", {}, head), this.body);
    place.append(
      h("section", { class: "fleet" },
        h("div", { class: "tools" }, this.search, by, sort, this.legend),
        h("div", { class: "fleet-body" },
          h("div", { class: "map card" }, this.box, this.tip,
            h("p", { class: "note", id: "map-help", text: "Arrow keys move, Enter opens an agent, / filters." })),
          h("div", { class: "list card" }, table, this.more))));
  }

  palette() {
    this.colours = new Map(PHASES.map((phase) => [phase.name, colour(phase.colour)]));
    this.ramp = Array.from({ length: RAMP }, (_, place) => colour(`--ramp-${place}`));
    this.unknown = colour("--asleep");
    this.ink = colour("--ink");
    this.flash = colour("--flash");
    this.focus = colour("--focus");
  }

  refresh() {
    const cursor = this.shown[this.cursor()]?.name;
    this.shown = chosen(remembered);
    if (cursor && remembered.cursor === cursor && !fleet.byName.has(cursor)) remembered.cursor = null;
    const figures = { waiting: (agent) => agent.waiting, faults: (agent) => agent.faults };
    const key = figures[remembered.by];
    this.most = key ? Math.max(1, ...this.shown.map((agent) => key(agent) ?? 0)) : 1;
    this.layout();
    this.drawLegend();
    this.list();
    const { text, phases } = remembered;
    const what = text || phases.size ? `${plural(this.shown.length, "agent")} of ${number(fleet.total)} shown` : plural(fleet.total, "agent");
    this.canvas.setAttribute("aria-label", `Map of the fleet: ${what}`);
  }

  cursor() {
    return remembered.cursor === null ? -1 : this.shown.findIndex((agent) => agent.name === remembered.cursor);
  }

  layout() {
    const width = Math.max(50, this.box.clientWidth);
    const room = Math.max(160, this.box.clientHeight);
    const count = Math.max(1, this.shown.length);
    let size = Math.floor(Math.sqrt((width * room) / count));
    while (size > CELL_MIN && Math.ceil(count / Math.floor(width / size)) * size > room) size -= 1;
    this.wide = this.high = Math.min(CELL_MAX, Math.max(CELL_MIN, size));
    if (size >= CELL_MAX * 1.5) {
      this.wide = Math.min(170, Math.max(NAMED_AT, Math.floor(width / Math.max(1, Math.floor(width / (size * 1.6))))));
      this.high = NAMED_HIGH;
    }
    this.columns = Math.max(1, Math.floor(width / this.wide));
    const height = Math.max(room, Math.ceil(count / this.columns) * this.high);
    const scale = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      this.canvas.style.height = `${height}px`;
    }
    this.draw();
  }

  draw() {
    if (this.isOver || this.pending) return;
    this.pending = requestAnimationFrame((at) => {
      this.pending = null;
      const began = performance.now();
      const isMoving = this.paint(performance.now(), at);
      this.frames.push(performance.now() - began);
      if (this.frames.length > 60) this.frames.shift();
      this.canvas.dataset.frameMs = median(this.frames).toFixed(2);
      this.canvas.dataset.cells = this.shown.length;
      if (isMoving) this.draw();
    });
  }

  paint(now) {
    const brush = this.canvas.getContext("2d");
    const scale = window.devicePixelRatio || 1;
    brush.setTransform(scale, 0, 0, scale, 0, 0);
    brush.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const gap = this.wide > 12 ? 2 : 1;
    const radius = Math.min(4, this.wide / 5);
    let isMoving = false;
    const isSmooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    brush.font = "11px system-ui, sans-serif";
    brush.textBaseline = "middle";
    this.shown.forEach((agent, place) => {
      const x = (place % this.columns) * this.wide;
      const y = Math.floor(place / this.columns) * this.high;
      brush.fillStyle = this.paintOf(agent);
      box(brush, x, y, this.wide - gap, this.high - gap, radius);
      const age = now - agent.flash;
      if (isSmooth && agent.flash && age < FLASH_MS) {
        isMoving = true;
        brush.globalAlpha = 0.7 * (1 - age / FLASH_MS);
        brush.strokeStyle = this.flash;
        brush.lineWidth = Math.min(2, this.wide / 6);
        brush.strokeRect(x + 1, y + 1, this.wide - gap - 2, this.high - gap - 2);
        brush.globalAlpha = 1;
      }
      if (this.wide >= NAMED_AT) {
        brush.fillStyle = this.ink;
        brush.fillText(brief(agent.name, Math.floor(this.wide / 7)), x + 6, y + this.high / 2, this.wide - 12);
      }
    });
    this.outline(brush, this.hovered, gap, radius);
    if (document.activeElement === this.canvas) this.outline(brush, this.cursor(), gap, radius, true);
    return isMoving;
  }

  outline(brush, place, gap, radius, isFocus = false) {
    if (place === null || place < 0 || place >= this.shown.length) return;
    brush.lineWidth = isFocus ? 3 : 2;
    brush.strokeStyle = isFocus ? this.focus : this.ink;
    brush.beginPath();
    const x = (place % this.columns) * this.wide;
    const y = Math.floor(place / this.columns) * this.high;
    brush.roundRect(x + 0.5, y + 0.5, this.wide - gap - 1, this.high - gap - 1, radius);
    brush.stroke();
  }

  paintOf(agent) {
    if (remembered.by === "phase") return this.colours.get(agent.phase) ?? this.unknown;
    if (remembered.by === "pressure") return this.step(agent.pressure);
    const figure = remembered.by === "waiting" ? agent.waiting : agent.faults;
    return figure === null || figure === undefined ? this.unknown : this.step(Math.log1p(figure) / Math.log1p(this.most));
  }

  step(share) {
    if (share === null || share === undefined) return this.unknown;
    return this.ramp[Math.min(RAMP - 1, Math.max(0, Math.floor(share * RAMP)))];
  }

  drawLegend() {
    const key = JSON.stringify([remembered.by, [...remembered.phases], fleet.phases, this.most]);
    if (key === this.legendKey) return;
    this.legendKey = key;
    const known = PHASES.filter(({ name }) => fleet.phases[name] || remembered.phases.has(name));
    const focused = document.activeElement?.dataset?.phase;
    const chips = known.map(({ name, label, colour: token }) => h("button", {
      type: "button", class: "chip", "aria-pressed": remembered.phases.has(name) ? "true" : "false", data: { phase: name },
      on: { click: () => { toggle(remembered.phases, name); this.refresh(); } },
    }, remembered.by === "phase" && h("span", { class: "dot", style: { background: `var(${token})` } }), `${label} `,
    h("b", { text: number(fleet.phases[name] ?? 0) })));
    const scale = remembered.by === "phase" ? [] : [h("span", { class: "scale", "aria-hidden": "true" },
      "0", this.ramp.map((_, place) => h("i", { style: { background: `var(--ramp-${place})` } })),
      remembered.by === "pressure" ? "100 %" : number(this.most))];
    this.legend.replaceChildren(...chips, ...scale);
    if (focused) this.legend.querySelector(`[data-phase="${focused}"]`)?.focus();
  }

  list() {
    const part = this.shown.slice(0, ROWS_MAX);
    const focused = document.activeElement?.closest?.("tr")?.dataset.name;
    const rows = new Map(Array.from(this.body.children, (row) => [row.dataset.name, row]));
    part.forEach((agent, place) => {
      let row = rows.get(agent.name);
      if (row) rows.delete(agent.name);
      else row = rowOf(agent);
      renew(row, agent);
      if (this.body.children[place] !== row) this.body.insertBefore(row, this.body.children[place] ?? null);
    });
    for (const row of rows.values()) row.remove();
    if (focused) Array.from(this.body.children).find((row) => row.dataset.name === focused)?.querySelector("a").focus();
    this.more.textContent = this.shown.length > part.length
      ? `The first ${number(part.length)} of ${number(this.shown.length)}; filter or order to see others.`
      : this.shown.length ? "" : fleet.agents.size ? "No agent is like that." : "No agents yet.";
    const unseen = fleet.total - fleet.agents.size;
    if (unseen > 0) this.more.textContent += ` ${plural(unseen, "agent")} more than a page can show.`;
  }

  at(event) {
    const column = Math.floor(event.offsetX / this.wide);
    const place = Math.floor(event.offsetY / this.high) * this.columns + column;
    return column < this.columns && place < this.shown.length ? place : null;
  }

  hover(event) {
    this.hovered = event ? this.at(event) : null;
    const agent = this.hovered === null ? null : this.shown[this.hovered];
    this.tip.hidden = !agent;
    this.canvas.style.cursor = agent ? "pointer" : "default";
    if (agent) {
      this.tip.replaceChildren(h("b", {}, words(brief(agent.name, 60))), h("span", { text: describe(agent) }));
      const width = this.box.clientWidth;
      this.tip.style.left = `${Math.min(event.offsetX + 14, Math.max(0, width - 240))}px`;
      this.tip.style.top = `${event.offsetY - this.box.scrollTop + 18}px`;
    }
    this.draw();
  }

  click(event) {
    const place = this.at(event);
    if (place !== null) this.open(this.shown[place]);
  }

  open(agent) {
    remembered.cursor = agent.name;
    location.hash = addressOf(agent.name);
  }

  key(event) {
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: 10 * this.columns, PageUp: -10 * this.columns };
    const now = this.cursor();
    if ((event.key === "Enter" || event.key === " ") && now >= 0) {
      event.preventDefault();
      this.open(this.shown[now]);
      return;
    }
    let next = event.key in moves ? (now < 0 ? 0 : now + moves[event.key]) : null;
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = this.shown.length - 1;
    if (next === null || !this.shown.length) return;
    event.preventDefault();
    next = Math.min(this.shown.length - 1, Math.max(0, next));
    const agent = this.shown[next];
    remembered.cursor = agent.name;
    const top = Math.floor(next / this.columns) * this.high;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + this.high > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.high - this.box.clientHeight;
    say(`${brief(agent.name, 80)}: ${describe(agent)}`);
    this.draw();
  }
}

function describe(agent) {
  const label = PHASES.find(({ name }) => name === agent.phase)?.label ?? agent.phase;
  const context = agent.limit ? `, ${number(agent.tokens)} of ${number(agent.limit)} tokens` : "";
  const waits = agent.waiting ? `, ${agent.waiting} waiting` : "";
  const age = agent.waiting && agent.oldest ? ` for ${span(fleet.state.at_ms - agent.oldest)}` : "";
  const steps = agent.steps === null ? "" : `, ${plural(agent.steps, "step")}`;
  return `${label}${agent.place ? ` on ${brief(agent.place, 40)}` : ""}${context}${waits}${age}${steps}`;
}

function rowOf(agent) {
  const link = h("a", { href: addressOf(agent.name) }, words(brief(agent.name, 60)));
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("i"));
  return h("tr", { data: { name: agent.name } },
    h("th", { scope: "row" }, link), h("td", {}, h("span", { class: "dot" }), h("span")),
    h("td", { class: "figure" }, bar, h("span")), h("td", { class: "figure" }), h("td", { class: "figure" }), h("td", { class: "figure" }));
}

function renew(row, agent) {
  const cells = row.children;
  const phase = PHASES.find(({ name }) => name === agent.phase);
  const pressure = agent.pressure ?? 0;
  set(cells[1].lastChild, phase?.label ?? agent.phase);
  cells[1].firstChild.style.background = `var(${phase?.colour ?? "--idle"})`;
  set(cells[2].lastChild, agent.limit ? percent(pressure) : "\u2013");
  cells[2].firstChild.firstChild.style.width = `${Math.min(100, 100 * pressure)}%`;
  cells[2].firstChild.firstChild.style.background = `var(--ramp-${Math.min(RAMP - 1, Math.floor(pressure * RAMP))})`;
  set(cells[3], compact(agent.waiting));
  set(cells[4], compact(agent.steps));
  set(cells[5], compact(agent.faults));
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function select(label, options, value, changed) {
  const field = h("select", { on: { change: () => changed(field.value) } },
    Object.entries(options).map(([key, text]) => h("option", { value: key, selected: key === value, text })));
  return h("label", { class: "field" }, h("span", { text: label }), field);
}

function toggle(set, value) {
  if (!set.delete(value)) set.add(value);
}

function box(brush, x, y, wide, high, radius) {
  if (radius < 1.6) {
    brush.fillRect(x, y, wide, high);
    return;
  }
  brush.beginPath();
  brush.roundRect(x, y, wide, high, radius);
  brush.fill();
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
