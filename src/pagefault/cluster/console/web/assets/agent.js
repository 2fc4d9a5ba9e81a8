// One agent: its context as a map, its steps as a chart, what was sent to the model, what changed.

import { ask, brief, h, moment, number, percent, plural, say, tell, words } from "./dom.js";
import { changesTab, coreTab, messagesTab, storyTab } from "./details.js";
import { PHASES, addressOf, fleet } from "./fleet.js";
import { MemoryRibbon } from "./memory.js";
import { pagePanel } from "./page.js";
import { StepChart } from "./steps.js";

const SETTLE_MS = 90;
const FOLLOW_MS = 1500;
const WINDOW = 300;
const TABS = { messages: "Messages", changes: "What changed", core: "Core memory", story: "Story" };
let lastTab = "messages";

/** Made when the view is entered; `leave` ends it. */
export function agentView(place, { subject, query }, about) {
  const view = new AgentView(place, subject, stepOf(query), about);
  return { leave: () => view.leave(), change: ({ query: next }) => view.go(stepOf(next)) };
}

function stepOf(query) {
  const text = query.get("step");
  return text !== null && /^\d{1,12}$/.test(text) ? Number(text) : null;
}

class AgentView {
  constructor(place, name, step, about) {
    this.name = name;
    this.step = step; // null: as it is now
    this.latest = 0;
    this.selected = null;
    this.tab = lastTab;
    this.about = about;
    this.abort = new AbortController();
    this.build(place);
    this.onChange = () => this.follow();
    fleet.addEventListener("change", this.onChange);
    this.loaded = performance.now();
    this.load();
  }

  leave() {
    this.abort.abort();
    clearTimeout(this.timer);
    clearTimeout(this.following);
    fleet.removeEventListener("change", this.onChange);
    this.ribbon.leave();
    this.chart.leave();
  }

  build(place) {
    this.heading = h("h1", {}, words(brief(this.name, 120)));
    this.facts = h("dl", { class: "facts" });
    this.phase = h("span", { class: "badge" });
    this.slider = h("input", {
      type: "range", min: "0", max: "0", value: "0", step: "1", "aria-label": "Step",
      on: { input: () => this.slide(Number(this.slider.value)) },
    });
    this.where = h("output", { class: "where" });
    this.now = h("button", { type: "button", class: "chip", text: "Now", "aria-pressed": "true", on: { click: () => this.slide(null) } });
    const before = h("button", { type: "button", class: "chip", "aria-label": "One step back", text: "\u25c0", on: { click: () => this.by(-1) } });
    const after = h("button", { type: "button", class: "chip", "aria-label": "One step on", text: "\u25b6", on: { click: () => this.by(1) } });
    this.chart = new StepChart((step) => this.slide(step));
    this.ribbon = new MemoryRibbon((chosen) => this.choose(chosen));
    this.panel = h("aside", { class: "card panel", "aria-label": "Page", "aria-live": "polite" });
    this.problem = h("p", { class: "banner", role: "alert", hidden: true });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "More of this step", on: { keydown: (event) => this.tabKey(event) } },
      Object.entries(TABS).map(([key, text]) => h("button", {
        type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "tab-panel", data: { tab: key }, text,
        on: { click: () => this.show(key) },
      })));
    this.content = h("div", { id: "tab-panel", class: "tab-panel", role: "tabpanel", tabindex: "0" });
    place.append(
      h("article", { class: "agent" },
        h("div", { class: "agent-head" },
          h("a", { class: "back", href: "#/fleet", text: "\u2190 Fleet" }), this.heading, this.phase, this.facts, this.about.control && this.controls()),
        this.problem,
        h("section", { class: "card steps", "aria-label": "Steps" },
          h("div", { class: "steps-tools" }, before, this.slider, after, this.now, this.where),
          this.chart.element),
        h("div", { class: "agent-body" },
          h("section", { class: "card memory", "aria-label": "Context" }, this.ribbon.element), this.panel),
        h("section", { class: "card more", "aria-label": "More of this step" }, this.tabs, this.content)));
    this.mark();
  }

  controls() {
    const field = h("input", { type: "text", "aria-label": "Message", placeholder: "Write to this agent", maxlength: "16000", autocomplete: "off" });
    const send = (event) => {
      event.preventDefault();
      if (!field.value.trim()) return;
      this.do("send", { agent: this.name, text: field.value }, "accepted").then((isDone) => { if (isDone) field.value = ""; });
    };
    return h("form", { class: "controls", on: { submit: send } }, field,
      h("button", { class: "main", text: "Send" }),
      h("button", { type: "button", text: "Cancel", title: "Cancel what it is doing", on: { click: () => this.do("cancel", { agent: this.name }, "cancelled what it was doing") } }),
      h("button", { type: "button", text: "Hibernate", on: { click: () => this.do("hibernate", { agent: this.name }, "sleeps") } }));
  }

  async do(what, body, done) {
    try {
      const answer = await tell(what, body);
      say(answer.hibernated === false ? `${brief(this.name, 60)} has something under way, and stays` : `${brief(this.name, 60)}: ${done}`);
      return true;
    } catch (error) {
      say(error.message);
      return false;
    }
  }

  by(count) {
    const now = this.step ?? this.latest;
    this.slide(Math.min(this.latest, Math.max(0, now + count)));
  }

  /** Go to a step; the address follows when the hand rests. */
  slide(step) {
    this.step = step;
    this.showWhere();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      history.replaceState(null, "", addressOf(this.name, step));
      this.load();
    }, SETTLE_MS);
  }

  go(step) {
    if (step !== this.step) this.slide(step);
  }

  follow() {
    const agent = fleet.byName.get(this.name);
    if (!agent || this.step !== null || this.following) return;
    if (agent.steps === this.latest && agent.phase === this.map?.phase) return;
    if (agent.steps === null && !this.hasChanged) return;
    this.following = setTimeout(() => {
      this.following = null;
      if (this.step === null) this.load();
    }, FOLLOW_MS);
  }

  async load() {
    this.abort.abort();
    const { signal } = (this.abort = new AbortController());
    try {
      this.map = await ask("agent", { name: this.name, step: this.step }, signal);
      if (this.step === null) this.latest = this.map.step;
      else if (!this.latest) this.latest = Math.max(this.map.step, fleet.byName.get(this.name)?.steps ?? 0);
      this.draw();
      await Promise.all([this.loadSteps(signal), this.show(this.tab, signal)]);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.problem.hidden = false;
      this.problem.textContent = brief(error.message, 400);
    }
  }

  async loadSteps(signal) {
    const at = this.map.step;
    const first = Math.max(1, Math.min(at - WINDOW / 2, this.latest - WINDOW + 1));
    const known = this.rows;
    const isFresh = known && known.first === first && known.rows.length && (at < this.latest || known.rows.at(-1).step >= at) && known.latest === this.latest;
    if (!isFresh) {
      const rows = await ask("timeline", { name: this.name, first, last: first + WINDOW - 1 }, signal);
      this.rows = { first, rows, latest: this.latest };
      const seen = rows.filter((row) => row.is_taken).at(-1)?.step ?? 0;
      if (seen > this.latest) { this.latest = seen; this.showWhere(); }
    }
    this.chart.show(this.rows.rows, this.map, at);
  }

  draw() {
    this.problem.hidden = !this.map.problem;
    this.problem.textContent = brief(this.map.problem, 400);
    const phase = PHASES.find(({ name }) => name === this.map.phase);
    this.phase.textContent = phase?.label ?? this.map.phase;
    this.phase.style.setProperty("--tint", `var(${phase?.colour ?? "--idle"})`);
    this.facts.replaceChildren(...facts(this.map).flatMap(([term, value]) => [h("div", {}, h("dt", { text: term }), h("dd", { text: value }))]));
    this.showWhere();
    this.ribbon.show(this.map);
    const still = this.selected && this.ribbon.find(this.selected);
    this.choose(still || null);
  }

  showWhere() {
    const step = this.step ?? this.latest;
    this.slider.max = String(this.latest);
    this.slider.value = String(step);
    this.slider.setAttribute("aria-valuetext", this.step === null ? `now, after step ${step}` : `step ${step} of ${this.latest}`);
    this.now.setAttribute("aria-pressed", this.step === null ? "true" : "false");
    const at = this.map && this.map.step === step ? ` \u00b7 ${moment(this.map.at_ms)}` : "";
    this.where.textContent = `step ${number(step)} of ${number(this.latest)}${at}`;
  }

  choose(chosen) {
    this.selected = chosen?.key ?? null;
    this.ribbon.mark(this.selected);
    pagePanel(this.panel, chosen, this.map, (id) => ask("page", { name: this.name, step: this.step, page: id }), (id) => this.ribbon.pick(`page ${id}`));
  }

  mark() {
    for (const button of this.tabs.children) {
      const isHere = button.dataset.tab === this.tab;
      button.setAttribute("aria-selected", isHere ? "true" : "false");
      button.tabIndex = isHere ? 0 : -1;
    }
    this.content.setAttribute("aria-labelledby", `tab-${this.tab}`);
  }

  tabKey(event) {
    const keys = Object.keys(TABS);
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    const next = keys[(keys.indexOf(this.tab) + move + keys.length) % keys.length];
    this.show(next);
    this.tabs.querySelector(`[data-tab="${next}"]`).focus();
  }

  async show(tab, signal = this.abort.signal) {
    lastTab = this.tab = tab;
    this.mark();
    const made = { messages: messagesTab, changes: changesTab, core: coreTab, story: storyTab }[tab];
    try {
      const content = await made({ name: this.name, step: this.step, map: this.map, signal });
      if (this.tab === tab && !signal.aborted) this.content.replaceChildren(...content);
    } catch (error) {
      if (error.name !== "AbortError") this.content.replaceChildren(h("p", { class: "empty", text: error.message }));
    }
  }
}

function facts(map) {
  const from = { awake: "its host", journal: "its journal" }[map.source] ?? map.source;
  return [
    ["Context", `${number(map.tokens)} of ${number(map.prompt_limit)} (${percent(map.tokens / Math.max(1, map.prompt_limit))})`],
    ["Pages", number(map.pages.length)],
    ["Policy", `${map.policy} \u2192 ${map.write_back}`],
    ["Model", brief(map.model.replace(/^scripted:.*[.:](\w+)$/, "scripted:\u2026$1"), 40)],
    ["Mailbox", map.waiting ? plural(map.waiting, "interrupt") : "empty"],
    ["Put aside", map.suspended + map.parked ? plural(map.suspended + map.parked, "chain") : "none"],
    ["Read from", from],
  ];
}
