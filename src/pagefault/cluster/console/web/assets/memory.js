// The context as a map: every page a block as wide as what it costs, line by line from the first token to the last.

import { brief, h, number, percent, plural, words } from "./dom.js";

const LINE_PX = 34;
const LINES = [[1200, 5], [4000, 8], [16000, 11], [Infinity, 14]];
const LABEL_AT_PX = 42;
const TEXT_AT_PX = 120;
const NAMES = {
  schemas: "functions", system: "system prompt", block: "memory block", summary: "summary", handles: "paged out",
  queue: "queue", paged_in: "paged in", free: "free", reply: "kept for the reply",
};

export class MemoryRibbon {
  /** `choose` is told of what is chosen: `{ key, region, page }`. */
  constructor(choose) {
    this.choose = choose;
    this.blocks = [];
    this.overview = h("div", { class: "window", role: "img" });
    this.marks = h("div", { class: "marks", "aria-hidden": "true" });
    this.lines = h("div", { class: "ribbon", role: "listbox", "aria-label": "Regions and pages of the context, in the order in which they are sent", on: { keydown: (event) => this.key(event) } });
    this.legend = h("div", { class: "legend quiet-legend" });
    this.element = h("div", { class: "memory-map" },
      h("h2", { text: "Context" }), this.overview, this.marks, this.lines, this.legend);
    this.sizes = new ResizeObserver(() => this.map && this.show(this.map));
    this.sizes.observe(this.element);
  }

  leave() {
    this.sizes.disconnect();
  }

  show(map) {
    this.map = map;
    const before = this.blocks ?? [];
    this.blocks = blocksOf(map);
    const held = document.activeElement?.closest?.(".ribbon") ? document.activeElement.dataset.key : null;
    this.drawWindow();
    this.drawLines();
    this.drawLegend();
    this.mark(this.chosen ?? null);
    if (held) this.hold(held, before);
  }

  /** Who was on a block stays on it; if it has left the context, they are on the one that has its place. */
  hold(key, before) {
    const place = before.findIndex((block) => block.key === key);
    const block = this.find(key) ?? this.blocks[Math.min(Math.max(place, 0), this.blocks.length - 1)];
    if (!block) return;
    if (block.key === key) this.optionOf(key)?.focus({ preventScroll: true });
    else this.take(block);
  }

  optionOf(key) {
    return this.lines.querySelector(`[role="option"][data-key="${CSS.escape(key)}"]`);
  }

  drawWindow() {
    const { map } = this;
    const whole = Math.max(map.budget_tokens, map.tokens);
    this.overview.setAttribute("aria-label",
      `${number(map.tokens)} of ${number(map.prompt_limit)} tokens are used; a flush begins at ${number(map.high_tokens)} and ends at ${number(map.low_tokens)}`);
    this.overview.replaceChildren(...map.regions.filter(({ tokens }) => tokens > 0).map((region) =>
      h("i", { class: `fill k-${region.kind}`, style: { width: `${(100 * region.tokens) / whole}%` } })));
    const marks = [["low", map.low_tokens], ["warn", map.warn_tokens], ["high", map.high_tokens]];
    const places = new Map();
    for (const [name, tokens] of marks) places.set(tokens, places.has(tokens) ? `${places.get(tokens)}, ${name}` : name);
    this.marks.replaceChildren(...Array.from(places, ([tokens, name]) =>
      h("span", { class: `mark ${name.split(",")[0]}`, style: { left: `${(100 * tokens) / whole}%` } }, h("b", { text: name }), ` ${number(tokens)}`)));
  }

  drawLines() {
    const { map } = this;
    const width = Math.max(200, this.lines.clientWidth || 600);
    const whole = Math.max(map.budget_tokens, map.tokens, 1);
    const count = LINES.find(([most]) => whole <= most)[1];
    const perLine = whole / count;
    this.lines.style.height = `${count * LINE_PX}px`;
    const pieces = [];
    for (const block of this.blocks) {
      const parts = piecesOf(block.start, block.start + block.tokens, perLine, width);
      const main = parts.reduce((best, part) => (part.wide > best.wide ? part : best), parts[0] ?? { wide: 0 });
      for (const part of parts) pieces.push(this.piece(block, part, part === main, parts.length > 1));
    }
    this.lines.replaceChildren(...pieces);
  }

  piece(block, part, isMain, isSplit) {
    const edge = isSplit ? ` ${part.isFirst ? "" : "goes-on"} ${part.isLast ? "" : "to-go-on"}` : "";
    const style = { left: `${part.left}px`, top: `${part.line * LINE_PX}px`, width: `${Math.max(1, part.wide - 2)}px` };
    const kind = `k-${block.region.kind}${block.page ? ` p-${kindClass(block.page)}` : ""}`;
    const properties = { class: `block ${kind}${block.page?.goes ? " going" : ""}${block.page?.pinned ? " pinned" : ""}${part.wide < 18 ? " slim" : ""}${edge}`, style, data: { key: block.key } };
    if (!isMain) return h("div", { ...properties, "aria-hidden": "true", on: { click: () => this.take(block) } });
    const label = part.wide >= LABEL_AT_PX ? this.label(block, part.wide) : "";
    return h("div", {
      ...properties, role: "option", tabindex: "-1", "aria-selected": "false", "aria-label": spoken(block), title: spoken(block),
      on: { click: () => this.take(block) },
    }, label);
  }

  label(block, wide) {
    const { page, region } = block;
    const name = page ? page.id : region.kind === "block" ? region.name : NAMES[region.kind] ?? region.kind;
    const rank = page && page.rank && page.goes && wide >= LABEL_AT_PX + 12 ? h("em", { class: "rank", text: `${page.rank}` }) : null;
    const text = page ? page.text : region.text;
    return [h("b", {}, words(brief(name, 24))), rank, wide >= TEXT_AT_PX && text ? words(brief(text, Math.floor(wide / 6)), { class: "excerpt" }) : null];
  }

  drawLegend() {
    const sums = new Map();
    for (const { region, tokens } of this.blocks) sums.set(region.kind, (sums.get(region.kind) ?? 0) + tokens);
    const keys = Array.from(sums).map(([kind, tokens]) =>
      h("span", { class: "key" }, h("i", { class: `dot fill k-${kind}` }), `${NAMES[kind] ?? kind} `, h("b", { text: number(tokens) })));
    if (this.map.flushed) keys.push(h("span", { class: "key" }, h("i", { class: "dot going-dot" }), `${plural(this.map.flushed, "page")} a flush would take`));
    this.legend.replaceChildren(...keys);
  }

  find(key) {
    return this.blocks.find((block) => block.key === key);
  }

  /** Choose by key, as if it had been clicked. */
  pick(key) {
    const block = this.find(key);
    if (block) this.take(block, true);
  }

  take(block, isFar = false) {
    this.choose(block);
    this.optionOf(block.key)?.focus({ preventScroll: !isFar });
  }

  mark(key) {
    this.chosen = key;
    let isAny = false;
    for (const element of this.lines.children) {
      const isChosen = element.dataset.key === key;
      element.classList.toggle("chosen", isChosen);
      if (element.getAttribute("role") !== "option") continue;
      element.setAttribute("aria-selected", isChosen ? "true" : "false");
      element.tabIndex = isChosen ? 0 : -1;
      isAny ||= isChosen;
    }
    if (!isAny) this.lines.querySelector('[role="option"]')?.setAttribute("tabindex", "0");
  }

  key(event) {
    const options = Array.from(this.lines.querySelectorAll('[role="option"]'));
    const at = options.indexOf(document.activeElement);
    const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: options.length - 1, Enter: at, " ": at }[event.key];
    if (next === undefined || !options.length) return;
    event.preventDefault();
    const option = options[Math.min(options.length - 1, Math.max(0, next))];
    this.take(this.find(option.dataset.key), true);
  }
}

/** Regions and pages in one row, each with where it starts. */
function blocksOf(map) {
  const pages = new Map(map.pages.map((page) => [page.id, page]));
  const blocks = [];
  map.regions.forEach((region, place) => {
    if (!region.pages.length) {
      if (region.tokens > 0) blocks.push({ key: `region ${place} ${region.name}`, region, page: null, start: region.start, tokens: region.tokens });
      return;
    }
    let { start } = region;
    for (const id of region.pages) {
      const page = pages.get(id);
      if (!page) continue;
      if (page.tokens > 0) blocks.push({ key: `page ${id}`, region, page, start, tokens: page.tokens });
      start += page.tokens;
    }
  });
  return blocks;
}

/** Where a stretch of tokens is on lines of so many. */
function piecesOf(begin, end, perLine, width) {
  const pieces = [];
  let at = begin;
  while (at < end - 1e-9) {
    const line = Math.floor(at / perLine + 1e-9);
    const stop = Math.min(end, (line + 1) * perLine);
    pieces.push({ line, left: ((at - line * perLine) / perLine) * width, wide: ((stop - at) / perLine) * width, isFirst: at === begin, isLast: stop >= end - 1e-9 });
    at = stop;
  }
  return pieces;
}

const KINDS = new Set(["message", "observation", "reply", "result", "passage", "summary", "notice"]);
const kindClass = (page) => (KINDS.has(page.kind) ? page.kind : "message");

function spoken({ page, region, tokens }) {
  if (!page) return `${NAMES[region.kind] ?? region.kind}${region.kind === "block" ? ` ${brief(region.name, 40)}` : ""}, ${plural(tokens, "token")}, ${percent(region.share)}`;
  const goes = page.rank ? `, leaves as number ${page.rank}` : "";
  return `${page.id}, ${page.kind}${page.author ? ` of ${brief(page.author, 40)}` : ""}, ${NAMES[region.kind] ?? region.kind}, ${plural(tokens, "token")}${goes}`;
}
