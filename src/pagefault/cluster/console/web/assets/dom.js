// Elements from values.  Whatever agents and others wrote becomes text here, never markup, and is shown as it is:
// characters that would turn a line around, hide, or be obeyed by something else are replaced by what names them.

const INVISIBLE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu;

const CONTROLS = "NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(" ");

/** A text whose every character is seen; line breaks and tabs stay. */
export function visible(text) {
  return String(text).replace(/\r\n/g, "\n").replace(INVISIBLE, (sign) => {
    const code = sign.codePointAt(0);
    if (code < 0x20) return `\u27e8${CONTROLS[code]}\u27e9`;
    return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
  });
}

/** One line of it, no longer than `length`. */
export function brief(text, length = 120) {
  const line = visible(text).replace(/\s+/g, " ").trim();
  const signs = Array.from(line.slice(0, 2 * length + 2));
  return signs.length > length ? `${signs.slice(0, length - 1).join("")}\u2026` : line;
}

/** An element.  `properties`: `class`, `text`, `on` (listeners), `data`, `style` (by CSSOM), other attributes by name. */
export function h(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same of SVG. */
export function s(name, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);
}

function fill(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "text") element.textContent = visible(value);
    else if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (key === "data") for (const [field, text] of Object.entries(value)) element.dataset[field] = text;
    else if (key === "style") for (const [field, text] of Object.entries(value)) element.style.setProperty(field, text);
    else if (key === "class") element.setAttribute("class", value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : visible(child));
  }
  return element;
}

/** Words of others, kept from turning around what is beside them. */
export function words(text, properties = {}) {
  return h("bdi", { ...properties, text });
}

const NUMBERS = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const number = (value) => (value === null || value === undefined ? "\u2013" : NUMBERS.format(value));
export const compact = (value) => (value === null || value === undefined ? "\u2013" : COMPACT.format(value));
export const percent = (share) => (Number.isFinite(share) ? `${Math.round(share * 100)} %` : "\u2013");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** A span of time as people say it. */
export function span(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "\u2013";
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

/** A moment, in this machine's zone. */
export function moment(milliseconds) {
  if (!milliseconds) return "\u2013";
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? "\u2013" : date.toLocaleString("sv-SE");
}

/** What the server says to a question; an error has its sentence. */
export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined && value !== null) query.set(name, value);
  const address = query.size ? `/api/${path}?${query}` : `/api/${path}`;
  return understood(await fetch(address, { signal, headers: { accept: "application/json" } }));
}

/** Have something done; only where the page was started with --allow-control. */
export async function tell(what, body) {
  return understood(
    await fetch(`/api/${what}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  );
}

async function understood(response) {
  const text = await response.text();
  let found = null;
  try {
    found = JSON.parse(text);
  } catch {
    if (response.ok) throw new Error("the server's answer cannot be read");
  }
  if (!response.ok) throw new Error(brief(found?.error ?? text, 400) || `the server answered ${response.status}`);
  return found;
}

/** The value of a colour of the style sheet, for canvases. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Say something in passing, also to screen readers. */
export function say(text) {
  const place = document.getElementById("said");
  place.textContent = visible(text);
  place.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => place.classList.remove("shown"), 4000);
}
