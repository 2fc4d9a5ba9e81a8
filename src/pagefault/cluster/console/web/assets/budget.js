// What model servers allow, and what was sent and spent.

import { ask, brief, h, number, words } from "./dom.js";

const AGAIN_MS = 2000;

export function budgetView(place) {
  const abort = new AbortController();
  const body = h("div");
  let timer = null;
  place.append(h("section", { class: "card page-view" }, h("h1", { text: "Model budget" }), body));
  const load = async () => {
    try {
      body.replaceChildren(...drawn(await ask("budget", {}, abort.signal)));
    } catch (error) {
      if (error.name === "AbortError") return;
      body.replaceChildren(h("p", { class: "empty", text: error.message }));
    }
    timer = setTimeout(load, AGAIN_MS);
  };
  load();
  return { leave: () => { abort.abort(); clearTimeout(timer); } };
}

function drawn(told) {
  const names = Object.keys(told).filter((name) => name !== "run");
  if (!names.length && !told.run) return [h("p", { class: "empty", text: "This fleet has no budget: calls go out as they come. Endpoints and limits are given with [[endpoint]] and [budget]." })];
  const columns = [...new Set(names.flatMap((name) => Object.keys(told[name])))];
  const table = h("table", { class: "agents", "aria-label": "Endpoints" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Endpoint" }), columns.map((column) => h("th", { scope: "col", class: "figure", text: column.replaceAll("_", " ") })))),
    h("tbody", {}, names.map((name) => h("tr", {}, h("th", { scope: "row" }, words(brief(name, 80))), columns.map((column) => h("td", { class: "figure", text: figure(told[name][column]) }))))));
  const run = Object.entries(told.run ?? {}).map(([key, value]) => h("div", { class: "tile" }, h("span", { class: "label", text: key.replaceAll("_", " ") }), h("b", { text: figure(value) })));
  return [h("h2", { text: "This run" }), h("div", { class: "tiles" }, run), names.length ? h("h2", { text: "Endpoints, in the last minute" }) : "", names.length ? table : ""];
}

const figure = (value) => (typeof value === "number" ? number(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(4))) : "\u2013");
