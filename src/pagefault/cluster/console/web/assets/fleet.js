// The agents of the fleet, as the server tells of them: everything once, then what has changed.

const FIELDS = ["phase", "place", "waiting", "oldest", "tokens", "limit", "steps", "faults", "timer"];
const FLASH_FIELDS = new Set(["steps", "waiting"]);

class Fleet extends EventTarget {
  constructor() {
    super();
    this.agents = new Map(); // by number
    this.byName = new Map();
    this.words = [];
    this.phases = {};
    this.total = 0;
    this.state = { mode: "connecting", fleet: "", problem: "", at_ms: 0 };
    this.version = 0; // grows when agents come or go
  }

  connect() {
    this.source = new EventSource("/api/events");
    this.source.addEventListener("whole", (event) => this.take(JSON.parse(event.data), true));
    this.source.addEventListener("changes", (event) => this.take(JSON.parse(event.data), false));
    this.source.addEventListener("error", () => {
      this.state = { ...this.state, mode: "lost", problem: "the server of this page does not answer" };
      this.dispatchEvent(new Event("state"));
      // A browser gives up for good when it is refused; it is asked to try again.
      if (this.source.readyState === EventSource.CLOSED) setTimeout(() => this.connect(), 5000);
    });
  }

  take(told, isWhole) {
    if (isWhole) {
      this.agents.clear();
      this.byName.clear();
      this.words = [];
    }
    this.words.push(...told.words);
    for (const number of told.gone) {
      const agent = this.agents.get(number);
      if (agent) this.byName.delete(agent.name);
      this.agents.delete(number);
    }
    for (const [number, name] of told.new) {
      const agent = { number, name, flash: 0 };
      this.agents.set(number, agent);
      this.byName.set(name, agent);
    }
    const now = performance.now();
    for (const [number, ...cells] of told.rows) this.change(this.agents.get(number), cells, isWhole ? 0 : now);
    if (isWhole || told.new.length || told.gone.length) this.version += 1;
    this.phases = told.phases;
    this.total = told.total;
    const was = this.state;
    this.state = { mode: told.mode, fleet: told.fleet, problem: told.problem, at_ms: told.at_ms };
    if (was.mode !== told.mode || was.problem !== told.problem || was.fleet !== told.fleet) this.dispatchEvent(new Event("state"));
    this.dispatchEvent(new CustomEvent("change", { detail: { changed: told.rows.length } }));
  }

  change(agent, cells, now) {
    if (!agent) return;
    FIELDS.forEach((field, place) => {
      const value = place < 2 ? this.words[cells[place]] : cells[place];
      if (now && agent[field] !== value && FLASH_FIELDS.has(field)) agent.flash = now;
      agent[field] = value;
    });
    agent.pressure = agent.limit ? agent.tokens / agent.limit : null;
  }
}

export const fleet = new Fleet();

/** What agents may be sorted by: of counts the highest first, of times the earliest, and who has none last. */
export const SORTS = {
  name: { label: "Name", key: null },
  phase: { label: "Phase", key: (agent) => PHASES.findIndex((phase) => phase.name === agent.phase) },
  pressure: { label: "Pressure", key: (agent) => negative(agent.pressure) },
  waiting: { label: "Mailbox", key: (agent) => negative(agent.waiting) },
  steps: { label: "Steps", key: (agent) => negative(agent.steps) },
  faults: { label: "Page faults", key: (agent) => negative(agent.faults) },
  place: { label: "Host", key: (agent) => agent.place || null },
};

const negative = (value) => (value === null || value === undefined ? null : -value);

/** Phases in the order of their legend. */
export const PHASES = [
  { name: "thinking", label: "thinking", colour: "--thinking" },
  { name: "acting", label: "acting", colour: "--acting" },
  { name: "paging", label: "paging", colour: "--paging" },
  { name: "awaiting_reply", label: "awaits reply", colour: "--awaiting" },
  { name: "idle", label: "idle", colour: "--idle" },
  { name: "due", label: "due", colour: "--due" },
  { name: "asleep", label: "asleep", colour: "--asleep" },
  { name: "cancelling", label: "cancelling", colour: "--cancelling" },
  { name: "stopped", label: "stopped", colour: "--stopped" },
];

/** The agents that a choice means, in its order. */
export function chosen({ text, phases, sort }) {
  const wanted = text.toLowerCase();
  const found = [];
  for (const agent of fleet.agents.values()) {
    if (phases.size && !phases.has(agent.phase)) continue;
    if (wanted && !agent.name.toLowerCase().includes(wanted) && !agent.place.toLowerCase().includes(wanted)) continue;
    found.push(agent);
  }
  const key = SORTS[sort].key;
  if (!key) return found.sort((one, other) => (one.name < other.name ? -1 : 1));
  const keyed = found.map((agent) => [key(agent), agent]);
  keyed.sort(([one, a], [other, b]) => {
    if (one === other) return a.name < b.name ? -1 : 1;
    if (one === null) return 1;
    if (other === null) return -1;
    return one < other ? -1 : 1;
  });
  return keyed.map(([, agent]) => agent);
}

/** The address of an agent's view. */
export const addressOf = (name, step = null) =>
  `#/agent/${encodeURIComponent(name)}${step === null ? "" : `?step=${step}`}`;
