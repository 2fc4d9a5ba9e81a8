// Under the map: what was sent to the model, what changed since another step, blocks and summary, the story.

import { ask, brief, h, number, plural, words } from "./dom.js";

const SIGNS = { came: "+", went: "\u2212", fidelity: "\u21c4", pinned: "\u25cf", unpinned: "\u25cb", moved: "\u2193" };
const CHANGES = { came: "came in", went: "left", fidelity: "is shown otherwise", pinned: "was pinned", unpinned: "was unpinned", moved: "moved to the end" };
const LONG_CHARS = 1200;

export async function messagesTab({ name, step, signal }) {
  const { messages, total, were_sent: wereSent } = await ask("messages", { name, step }, signal);
  const note = wereSent ? "Exactly what the model was sent for this step." : "What the model would be sent now.";
  const left = total - messages.length;
  return [
    h("p", { class: "note", text: `${note} ${plural(total, "message")}.${left > 0 ? ` ${number(left)} of them are too long to be shown.` : ""}` }),
    h("ol", { class: "messages" }, messages.map((message) => h("li", { class: `message-line ${role(message.role)}` },
      h("span", { class: "role" }, words(message.name ? `${message.role} ${brief(message.name, 60)}` : message.role)),
      h("div", { class: "words" }, message.text ? folded(message.text) : null,
        message.calls.map((call) => h("div", { class: "call" }, h("b", {}, words(brief(call.name, 120))), words(call.arguments))))))),
  ];
}

const role = (name) => (["system", "user", "assistant", "tool"].includes(name) ? `role-${name}` : "");

function folded(text) {
  if (text.length <= LONG_CHARS) return words(text, { dir: "auto" });
  return h("details", {}, h("summary", {}, words(brief(text, 200)), h("span", { class: "note", text: ` all ${number(text.length)} characters` })), words(text, { dir: "auto" }));
}

export async function changesTab({ name, step, map, signal }) {
  const at = step ?? map?.step ?? 0;
  const field = h("input", { type: "number", min: "0", max: String(at), value: String(Math.max(0, at - 1)), "aria-label": "Compare with step" });
  const found = h("div");
  const compare = async () => {
    const from = Number(field.value);
    if (!Number.isInteger(from) || from < 0) return;
    try {
      const told = await ask("difference", { name, from, to: step }, signal);
      found.replaceChildren(...changes(told));
    } catch (error) {
      if (error.name !== "AbortError") found.replaceChildren(h("p", { class: "empty", text: error.message }));
    }
  };
  field.addEventListener("change", compare);
  await compare();
  return [h("label", { class: "field" }, h("span", { text: `Step ${number(at)} against step` }), field), found];
}

function changes(told) {
  const grown = told.tokens_after - told.tokens_before;
  const pages = told.pages.map((page) => h("li", { class: `change ${page.change}` },
    h("span", { class: "sign", "aria-hidden": "true", text: SIGNS[page.change] ?? "\u00b7" }),
    h("span", { class: "what" }, h("b", { text: page.id }), ` ${CHANGES[page.change] ?? page.change}`),
    h("span", { class: "note" }, ` ${page.kind}${page.author ? " of " : ""}`, words(brief(page.author, 60)), `, ${page.before || "absent"} \u2192 ${page.after || "gone"}, ${signed(page.tokens)} tokens`),
    words(brief(page.text, 300), { class: "excerpt" })));
  const texts = told.texts.map((text) => h("div", {}, h("h3", {}, words(brief(text.name, 60))),
    h("pre", { class: "diff" }, text.lines.map((line) => h("span", { class: { "+": "plus", "-": "minus", "@": "at" }[line[0]] ?? "" }, words(line), "\n")))));
  const counts = Object.entries(told.statistics).map(([key, count]) => h("span", { class: "key" }, `${key.replaceAll("_", " ")} `, h("b", { text: signed(count) })));
  const isSame = !told.pages.length && !told.texts.length && !grown;
  return [
    h("p", { class: "note", text: isSame ? "The context is the same." : `${signed(grown)} tokens; both begin with the same ${plural(told.prefix_messages, "message")}, which a prefix cache would serve.` }),
    h("div", { class: "legend quiet-legend" }, counts),
    h("ul", { class: "changes" }, pages), ...texts,
  ];
}

const signed = (value) => (value > 0 ? `+${number(value)}` : number(value).replace("-", "\u2212"));

export async function coreTab({ map }) {
  const regions = (map?.regions ?? []).filter(({ kind, text }) => (kind === "block" || kind === "summary") && text);
  if (!regions.length) return [h("p", { class: "empty", text: "No blocks and no summary." })];
  return regions.map((region) => h("section", { class: "core" },
    h("h3", {}, words(brief(region.name, 60)), h("span", { class: "note", text: ` ${plural(region.tokens, "token")}` }), region.trust === "others" ? h("span", { class: "badge small", text: "words of others" }) : null),
    h("div", { class: "words" }, words(region.text, { dir: "auto" }))));
}

export async function storyTab({ map }) {
  const lines = map?.story ?? [];
  if (!lines.length) return [h("p", { class: "empty", text: "Nothing has happened yet." })];
  return [h("ol", { class: "story" }, lines.map((line) => h("li", {}, words(line))))];
}
