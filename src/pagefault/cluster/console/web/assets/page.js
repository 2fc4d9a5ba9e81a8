// What is known of the page, or the region, that was chosen.

import { brief, h, moment, number, percent, plural, span, words } from "./dom.js";

const LEAVES = { nothing: "nothing, only the archive has it", summary: "a line in the summary", handle: "a handle to page it in again", forgotten: "nothing, and nobody has it any more" };
const ABOUT = {
  schemas: "The functions that the model may call, as it is shown them.",
  system: "The system prompt, which never leaves.",
  block: "A memory block: always at hand, and the agent may write to it.",
  summary: "What left the context, in few words.",
  free: "Room for what comes in before a flush begins.",
  reply: "Kept for the model's reply, and never filled by the prompt.",
};

/** Fill the panel.  `whole` asks for a page's full text, `go` opens another page. */
export function pagePanel(panel, chosen, map, whole, go) {
  if (!chosen) {
    panel.replaceChildren(h("h2", { text: "Page" }), h("p", { class: "note", text: "Choose a block of the context to see what it is, why it is there, and when it would leave." }), ...nextOut(map, go));
    return;
  }
  if (chosen.page) showPage(panel, chosen.page, map, whole, go);
  else showRegion(panel, chosen.region);
}

function nextOut(map, go) {
  if (!map?.going.length) return [];
  const pages = new Map(map.pages.map((page) => [page.id, page]));
  return [h("h3", { text: "Would leave next" }), h("ol", { class: "going-list" }, map.going.slice(0, 8).map((id) => {
    const page = pages.get(id);
    return page && h("li", {}, h("button", { type: "button", class: "link", on: { click: () => go(id) } }, page.id), ` ${page.kind}, ${plural(page.tokens, "token")}`);
  }))];
}

function showPage(panel, page, map, whole, go) {
  const text = h("div", { class: "words" }, page.text ? words(page.text, { dir: "auto" }) : h("span", { class: "note", text: "No words: it called functions." }));
  const rest = page.is_cut && h("button", { type: "button", class: "link", text: "Show all of it", on: { click: async () => {
    try {
      text.replaceChildren(words((await whole(page.id)).text, { dir: "auto" }));
      rest.remove();
    } catch (error) {
      rest.replaceWith(h("p", { class: "note", text: error.message }));
    }
  } } });
  const facts = [
    ["Kind", page.kind], ["Author", brief(page.author, 80) || "\u2013"], ["From", brief(page.source, 60)],
    ["Costs", `${plural(page.tokens, "token")} (${percent(page.share)} of the window)`],
    ["Shown", page.fidelity], ["Made", `${moment(page.created_ms)}, ${plural(page.age_pages, "page")} ago`],
    ["Age", span(page.age_ms)],
    ["Importance", page.importance === null ? "not rated" : number(page.importance)],
    ["Words of", page.trust === "others" ? "others, or made from theirs" : "its own and its users'"],
    ["In the archive", page.stored ? "yes" : "not yet"],
  ];
  const fate = page.rank
    ? [h("b", { text: page.goes ? `Number ${page.rank} to leave: a flush takes it` : `Number ${page.rank} to leave: a flush would end before it` }), ` \u00b7 leaves ${LEAVES[page.leaves] ?? page.leaves}`]
    : [h("b", { text: "No flush takes it" })];
  panel.replaceChildren(
    h("h2", {}, `${page.id} `, page.pinned && h("span", { class: "badge small", text: "pinned" })),
    h("p", { class: page.goes ? "fate going-fate" : "fate" }, ...fate),
    h("p", { class: "why" }, h("span", { class: "label", text: "Why it is here" }), words(page.why)),
    text, rest || "",
    h("dl", { class: "facts stacked" }, facts.map(([term, value]) => h("div", {}, h("dt", { text: term }), h("dd", {}, words(value))))),
    page.refs.length ? h("p", { class: "note" }, "Quotes ", page.refs.map((id) => [h("button", { type: "button", class: "link", on: { click: () => go(id) } }, id), " "])) : "");
}

function showRegion(panel, region) {
  panel.replaceChildren(
    h("h2", {}, words(brief(region.name, 60))),
    h("p", { class: "why" }, ABOUT[region.kind] ?? region.kind),
    region.pages_summed ? h("p", { class: "note", text: `Stands for ${plural(region.pages_summed, "page")}.` }) : "",
    region.text ? h("div", { class: "words" }, words(region.text, { dir: "auto" })) : "",
    h("dl", { class: "facts stacked" }, h("div", {}, h("dt", { text: "Costs" }), h("dd", { text: `${plural(region.tokens, "token")} (${percent(region.share)} of the window)` }))));
}
