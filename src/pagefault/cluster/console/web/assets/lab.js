// Reports of the lab, as they are: in frames that may run nothing.

import { ask, brief, h, moment, words } from "./dom.js";

export function labView(place, { subject }) {
  const abort = new AbortController();
  const list = h("ul", { class: "reports" });
  const frame = h("div", { class: "report" });
  place.append(h("section", { class: "lab-view" }, h("div", { class: "card list" }, h("h1", { text: "Lab" }), list), h("div", { class: "card" }, frame)));
  const load = async () => {
    try {
      const reports = await ask("lab", {}, abort.signal);
      if (!reports.length) list.replaceChildren(h("li", { class: "empty", text: "No reports here yet: `pagefault lab report FOLDER` makes one." }));
      else list.replaceChildren(...reports.map((report) => h("li", {},
        h("a", { href: `#/lab/${encodeURIComponent(report.path)}`, "aria-current": report.path === subject ? "page" : null }, words(brief(report.path, 90))),
        h("span", { class: "note", text: ` ${moment(report.changed_ms)}` }))));
      const open = reports.find(({ path }) => path === subject) ?? (subject ? null : reports[0]);
      if (open) frame.replaceChildren(shown(open));
    } catch (error) {
      if (error.name !== "AbortError") list.replaceChildren(h("li", { class: "empty", text: error.message }));
    }
  };
  load();
  return { leave: () => abort.abort() };
}

function shown({ path, kind }) {
  const address = `/lab/${path.split("/").map(encodeURIComponent).join("/")}`;
  if (kind === "png") return h("img", { src: address, alt: brief(path, 120) });
  return h("iframe", { src: address, sandbox: "", title: brief(path, 120) });
}
