// Who wrote to whom: a drawing that settles, and the same as a table.

import { ask, brief, colour, h, number, plural, span, words } from "./dom.js";
import { addressOf, fleet } from "./fleet.js";

const NODES_MAX = 150;
const ROUNDS = 260;
const AGAIN_MS = 15000;
const MARGIN = 24;
const LABEL = 70;
const KINDS = { message: "--thinking", call: "--awaiting", reply: "--acting" };

export function graphView(place) {
  const view = new GraphView(place);
  return { leave: () => view.leave() };
}

class GraphView {
  constructor(place) {
    this.canvas = h("canvas", { class: "graph", role: "img", on: {
      pointermove: (event) => this.hover(event), pointerleave: () => { this.near = null; this.draw(); }, click: () => this.near && this.open(this.near),
    } });
    this.box = h("div", { class: "graph-box" }, this.canvas);
    this.note = h("p", { class: "note", text: "Reading what agents have accepted\u2026" });
    this.body = h("tbody");
    this.others = h("button", { type: "button", class: "chip", "aria-pressed": "false", text: "Worlds and users, too", on: { click: () => {
      this.others.setAttribute("aria-pressed", this.others.getAttribute("aria-pressed") === "true" ? "false" : "true");
      if (this.told) this.take(this.told);
    } } });
    const legend = h("div", { class: "legend quiet-legend" }, Object.entries(KINDS).map(([kind, token]) =>
      h("span", { class: "key" }, h("i", { class: "dot", style: { background: `var(${token})` } }), { message: "messages", call: "calls", reply: "replies" }[kind])));
    const head = h("tr", {}, ["From", "To", "Kind", "Count", "Last"].map((text, column) => h("th", { scope: "col", class: column > 2 ? "figure" : "", text })));
    place.append(h("section", { class: "graph-view" },
      h("div", { class: "card map" }, h("div", { class: "tools" }, h("h1", { text: "Messages and calls" }), this.others, legend), this.box, this.note),
      h("div", { class: "card list" }, h("table", { class: "agents", "aria-label": "Who wrote to whom, most first" }, h("thead", {}, head), this.body))));
    this.abort = new AbortController();
    this.nodes = new Map();
    this.edges = [];
    this.onScheme = () => this.draw();
    window.addEventListener("scheme", this.onScheme);
    this.sizes = new ResizeObserver(() => this.size());
    this.sizes.observe(this.box);
    this.load();
  }

  leave() {
    this.isOver = true;
    this.abort.abort();
    clearTimeout(this.timer);
    window.removeEventListener("scheme", this.onScheme);
    this.sizes.disconnect();
  }

  async load() {
    try {
      const told = await ask("graph", {}, this.abort.signal);
      this.take(told);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.note.textContent = brief(error.message, 300);
    }
    this.timer = setTimeout(() => this.load(), AGAIN_MS);
  }

  take(told) {
    this.told = told;
    const withOthers = this.others.getAttribute("aria-pressed") === "true";
    const edges = told.edges.filter((edge) => withOthers || edge.between_agents);
    const counts = new Map();
    for (const { sender, to, count } of edges) for (const name of [sender, to]) counts.set(name, (counts.get(name) ?? 0) + count);
    const kept = Array.from(counts).sort(([, one], [, other]) => other - one).slice(0, NODES_MAX);
    const outside = new Set(told.edges.filter((edge) => !edge.between_agents).map(({ sender }) => sender));
    const known = this.nodes;
    this.nodes = new Map(kept.map(([name, count], place) => {
      const angle = place * 2.39996; // the golden angle: no two begin at one place
      const was = known.get(name);
      const far = 0.05 + 0.42 * Math.sqrt(place / Math.max(1, kept.length));
      return [name, { name, count, x: was?.x ?? 0.5 + far * Math.cos(angle), y: was?.y ?? 0.5 + far * Math.sin(angle), dx: 0, dy: 0, isAgent: !outside.has(name) || fleet.byName.has(name) }];
    }));
    this.edges = edges.filter(({ sender, to }) => this.nodes.has(sender) && this.nodes.has(to));
    this.most = Math.max(1, ...this.edges.map(({ count }) => count));
    const left = told.left_out + edges.length - this.edges.length;
    this.note.textContent = `From the newest messages of ${plural(told.looked_into, "agent")} of ${number(told.agents)}, the busiest first.${left ? ` ${number(left)} rarer pairs are not drawn.` : ""}`;
    if (!edges.length) this.note.textContent = "Nobody has written to anybody yet.";
    this.canvas.setAttribute("aria-label", `${plural(this.nodes.size, "agent")} and ${plural(this.edges.length, "pair")} that wrote to each other; the table has the same`);
    this.list(edges);
    this.rounds = known.size ? 40 : ROUNDS;
    this.size();
    this.settle();
  }

  list(edges) {
    const at = fleet.state.at_ms || Date.now();
    this.body.replaceChildren(...edges.slice(0, 150).map((edge) => h("tr", {},
      h("td", {}, linked(edge.sender)), h("td", {}, linked(edge.to)),
      h("td", {}, h("span", { class: "dot", style: { background: `var(${KINDS[edge.kind] ?? "--idle"})` } }), edge.kind),
      h("td", { class: "figure", text: number(edge.count) }), h("td", { class: "figure", text: `${span(at - edge.at_ms)}` }))));
  }

  size() {
    const scale = window.devicePixelRatio || 1;
    this.wide = Math.max(200, this.box.clientWidth);
    this.high = Math.max(200, this.box.clientHeight);
    this.canvas.width = Math.round(this.wide * scale);
    this.canvas.height = Math.round(this.high * scale);
    this.draw();
  }

  /** Forces of Fruchterman and Reingold (1991), cooling down; a few rounds a frame. */
  settle() {
    if (this.isOver || this.rounds <= 0) return;
    const isSmooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (let turn = isSmooth ? 4 : this.rounds; turn > 0 && this.rounds > 0; turn -= 1) this.round();
    this.draw();
    requestAnimationFrame(() => this.settle());
  }

  round() {
    const nodes = Array.from(this.nodes.values());
    const ideal = 0.75 / Math.sqrt(nodes.length + 1);
    for (const node of nodes) {
      node.dx = (0.5 - node.x) * 1.6;
      node.dy = (0.5 - node.y) * 1.6;
    }
    for (let one = 0; one < nodes.length; one += 1) {
      for (let other = one + 1; other < nodes.length; other += 1) {
        const [a, b] = [nodes[one], nodes[other]];
        const [x, y] = [a.x - b.x, a.y - b.y];
        const far = Math.max(0.002, Math.hypot(x, y));
        const push = (ideal * ideal) / (far * far);
        a.dx += x * push; a.dy += y * push;
        b.dx -= x * push; b.dy -= y * push;
      }
    }
    for (const edge of this.edges) {
      const [a, b] = [this.nodes.get(edge.sender), this.nodes.get(edge.to)];
      const [x, y] = [a.x - b.x, a.y - b.y];
      const pull = (Math.hypot(x, y) / ideal) * (0.25 + 0.5 * Math.log1p(edge.count) / Math.log1p(this.most));
      a.dx -= x * pull; a.dy -= y * pull;
      b.dx += x * pull; b.dy += y * pull;
    }
    const heat = 0.05 * (this.rounds / ROUNDS);
    for (const node of nodes) {
      const far = Math.max(1e-6, Math.hypot(node.dx, node.dy));
      node.x += (node.dx / far) * Math.min(far, heat);
      node.y += (node.dy / far) * Math.min(far, heat);
    }
    this.rounds -= 1;
  }

  draw() {
    if (this.isOver) return;
    const brush = this.canvas.getContext("2d");
    const scale = window.devicePixelRatio || 1;
    brush.setTransform(scale, 0, 0, scale, 0, 0);
    brush.clearRect(0, 0, this.wide, this.high);
    const tones = Object.fromEntries(Object.entries(KINDS).map(([kind, token]) => [kind, colour(token)]));
    this.fit();
    const [ink, card, soft] = [colour("--ink"), colour("--card"), colour("--soft")];
    for (const edge of this.edges) {
      const [a, b] = [this.nodes.get(edge.sender), this.nodes.get(edge.to)];
      const isNear = !this.near || this.near === a || this.near === b;
      brush.globalAlpha = isNear ? (this.near ? 0.9 : 0.42) : 0.06;
      brush.strokeStyle = tones[edge.kind] ?? soft;
      brush.lineWidth = 0.7 + (2.6 * Math.log1p(edge.count)) / Math.log1p(this.most);
      this.arc(brush, a, b);
    }
    brush.font = "11px system-ui, sans-serif";
    brush.textBaseline = "middle";
    const most = Math.max(1, ...Array.from(this.nodes.values(), ({ count }) => count));
    let place = 0;
    const labels = [];
    for (const node of this.nodes.values()) {
      const isNear = !this.near || this.near === node || this.edges.some(({ sender, to }) => (sender === node.name && to === this.near.name) || (to === node.name && sender === this.near.name));
      brush.globalAlpha = isNear ? 1 : 0.18;
      const radius = 3 + 7 * Math.sqrt(node.count / most);
      brush.fillStyle = node.isAgent ? ink : card;
      brush.strokeStyle = node.isAgent ? card : ink;
      brush.lineWidth = 1.5;
      brush.beginPath();
      if (node.isAgent) brush.arc(node.u, node.v, radius, 0, 7);
      else brush.rect(node.u - radius, node.v - radius, 2 * radius, 2 * radius);
      brush.fill();
      brush.stroke();
      const text = brief(node.name, 24);
      if ((this.near ? isNear : place < 40) && hasRoom(labels, node.u + radius + 4, node.v, 6 * text.length)) {
        brush.lineWidth = 3;
        brush.strokeStyle = card;
        brush.strokeText(text, node.u + radius + 4, node.v);
        brush.fillStyle = ink;
        brush.fillText(text, node.u + radius + 4, node.v);
      }
      place += 1;
    }
    brush.globalAlpha = 1;
  }

  /** Where nodes are on the canvas: all of it is used. */
  fit() {
    const nodes = Array.from(this.nodes.values());
    const [left, right] = [Math.min(...nodes.map(({ x }) => x)), Math.max(...nodes.map(({ x }) => x))];
    const [top, bottom] = [Math.min(...nodes.map(({ y }) => y)), Math.max(...nodes.map(({ y }) => y))];
    for (const node of nodes) {
      node.u = MARGIN + ((node.x - left) / Math.max(0.05, right - left)) * (this.wide - 2 * MARGIN - LABEL);
      node.v = MARGIN + ((node.y - top) / Math.max(0.05, bottom - top)) * (this.high - 2 * MARGIN);
    }
  }

  arc(brush, a, b) {
    const [x, y, u, v] = [a.u, a.v, b.u, b.v];
    brush.beginPath();
    brush.moveTo(x, y);
    brush.quadraticCurveTo((x + u) / 2 + (v - y) * 0.12, (y + v) / 2 - (u - x) * 0.12, u, v);
    brush.stroke();
  }

  hover(event) {
    let [best, far] = [null, 18];
    for (const node of this.nodes.values()) {
      const away = Math.hypot(node.u - event.offsetX, node.v - event.offsetY);
      if (away < far) [best, far] = [node, away];
    }
    if (best !== this.near) {
      this.near = best;
      this.canvas.style.cursor = best?.isAgent ? "pointer" : "default";
      this.draw();
    }
  }

  open(node) {
    if (node.isAgent) location.hash = addressOf(node.name);
  }
}

function hasRoom(taken, x, y, wide) {
  if (taken.some(([u, v, w]) => x < u + w && u < x + wide && Math.abs(y - v) < 13)) return false;
  taken.push([x, y, wide]);
  return true;
}

function linked(name) {
  const text = words(brief(name, 48));
  return fleet.byName.has(name) ? h("a", { href: addressOf(name) }, text) : text;
}
