// The page: which view is shown, what the header says, light or dark.

import { agentView } from "./agent.js";
import { budgetView } from "./budget.js";
import { ask, brief, h, plural } from "./dom.js";
import { fleet } from "./fleet.js";
import { graphView } from "./graph.js";
import { labView } from "./lab.js";
import { fleetView } from "./map.js";

const VIEWS = { fleet: fleetView, agent: agentView, graph: graphView, budget: budgetView, lab: labView };
const MODES = { live: "live", stores: "not running \u00b7 from its stores", nothing: "nothing to see", lost: "connection lost", connecting: "connecting" };
const SCHEMES = ["auto", "light", "dark"];

const main = document.getElementById("main");
const about = { control: false, lab: false };
let shown = { name: "", leave: () => {}, change: null };

/** `#/agent/ada?step=3` -> its parts.  What cannot be read is the fleet. */
function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  try {
    return { name: name in VIEWS ? name : "fleet", subject: decodeURIComponent(rest.join("/")), query: new URLSearchParams(query) };
  } catch {
    return { name: "fleet", subject: "", query: new URLSearchParams() };
  }
}

function show() {
  const wanted = route();
  document.querySelectorAll("nav a").forEach((link) => {
    const isHere = link.dataset.view === (wanted.name === "agent" ? "fleet" : wanted.name);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  const key = `${wanted.name}/${wanted.subject}`;
  if (shown.name === key && shown.change) {
    shown.change(wanted);
    return;
  }
  shown.leave();
  main.replaceChildren();
  const made = VIEWS[wanted.name](main, wanted, about);
  shown = { name: key, ...made };
  const subject = wanted.subject ? `${brief(wanted.subject, 40)} \u00b7 ` : "";
  document.title = `${subject}Pagefault`;
}

function state() {
  const { mode, fleet: title, problem } = fleet.state;
  document.getElementById("lamp").dataset.mode = mode;
  const agents = fleet.total ? ` \u00b7 ${plural(fleet.total, "agent")}` : "";
  document.getElementById("status").textContent = `${title ? `${brief(title, 60)} \u00b7 ` : ""}${MODES[mode] ?? mode}${agents}`;
  const banner = document.getElementById("banner");
  banner.hidden = !problem;
  banner.textContent = brief(problem, 400);
}

function scheme(wanted) {
  const root = document.documentElement;
  if (wanted === "auto") delete root.dataset.scheme;
  else root.dataset.scheme = wanted;
  const button = document.getElementById("scheme");
  button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[wanted];
  button.setAttribute("aria-label", `Colour scheme: ${button.textContent}; press for the next`);
  window.dispatchEvent(new Event("scheme"));
}

function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // a browser that keeps nothing
  }
}

function chooseScheme() {
  let now = SCHEMES.includes(kept("scheme")) ? kept("scheme") : "auto";
  scheme(now);
  document.getElementById("scheme").addEventListener("click", () => {
    now = SCHEMES[(SCHEMES.indexOf(now) + 1) % SCHEMES.length];
    try {
      localStorage.setItem("scheme", now);
    } catch {
      // as above
    }
    scheme(now);
  });
}

function begin() {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new Event("scheme")));
  fleet.addEventListener("state", state);
  let total = -1;
  fleet.addEventListener("change", () => {
    if (fleet.total !== total) state();
    total = fleet.total;
  });
  window.addEventListener("hashchange", show);
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof HTMLElement && event.target.closest("input, textarea, select");
    if (event.key === "Escape" && route().name !== "fleet" && !isTyping) location.hash = "#/fleet";
    if (event.key === "/" && !isTyping) {
      const field = document.querySelector("input[type=search]");
      if (field) {
        event.preventDefault();
        field.focus();
      }
    }
  });
  fleet.connect();
}

async function start() {
  chooseScheme();
  try {
    Object.assign(about, await ask("about"));
  } catch (error) {
    main.replaceChildren(h("p", { class: "empty", text: error.message }));
    return;
  }
  document.querySelector('nav a[data-view="lab"]').hidden = !about.lab;
  begin();
  show();
}

start();
