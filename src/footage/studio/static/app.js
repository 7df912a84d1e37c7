// What every page has: texts, requests, messages, dialogs, keys for help and undo.

import { play, still } from "./player.js";

const { texts, messages, history } = JSON.parse(document.getElementById("texts").textContent);
let csrf = document.querySelector("meta[name=csrf]").content;

export function t(name, values = {}) {
  const chosen = (whole, before, key, one, many) => before + (String(values[key]) === "1" ? one : many); // [clip|clips]
  const text = (texts[name] ?? name).replace(/(\{(\w+)\}[^{[]*)\[([^|\]]*)\|([^\]]*)\]/g, chosen);
  return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

// What a message says after a number, as a regular expression that knows one thing as well as several.
const singulars = { are: "(?:are|is)", were: "(?:were|was)", have: "(?:have|has)", do: "(?:do|does)" };
const either = (counted) => counted.replace(/[a-z]+/g, (word) => singulars[word] ?? (/^\w{3,}s$/.test(word) ? `${word}?` : word));

// The patterns of English texts with their translations, the most exact first; what `{…}` stands for is filled in.
function patterns(translations) {
  const exact = (english) => english.replace(/\{\w+\}/g, "").length;
  const escaped = (part, i) => {
    const counted = i ? /^(?: [a-z]+)*/.exec(part)[0] : "";
    return either(counted) + part.slice(counted.length).replace(/[^\w ]/g, "\\$&");
  };
  return Object.entries(translations).sort(([a], [b]) => exact(b) - exact(a)).map(([english, text]) => {
    const parts = english.split(/\{(\w+)\}/).map((part, i) => (i % 2 ? `(?<${part}>${part.startsWith("word") ? "[^ ]+" : ".+?"})` : escaped(part, i)));
    return [new RegExp(`^${parts.join("")}$`, "s"), text];
  });
}

const compiled = {};

// What is filled in: values of the history in plain words, reasons of a system or a library translated where they are known.
function filled(part, key, value) {
  if (part === "history") return value?.replace(/^\[?['"]|['"]\]?$|^\[\]$/g, "").replaceAll("', '", ", ");
  return key === "reason" ? message(value) : value;
}

function translation(part, english) {
  compiled[part] ??= patterns({ messages, history }[part]);
  for (const [pattern, text] of compiled[part]) {
    const match = pattern.exec(english);
    if (match) return text.replace(/\{(\w+)\}/g, (whole, key) => filled(part, key, match.groups?.[key]) ?? whole);
  }
  return null;
}

// What the interface says in English, a problem, a remedy or both with a colon between, in the language of the page; as it
// is where no translation is known.
export function message(english, deep = 3) {
  if (english.length > 1000) return english;
  let halfKnown = null;
  for (let colon = english.indexOf(": "), parts = 8; colon >= 0 && parts; colon = english.indexOf(": ", colon + 1), parts--) {
    const problem = translation("messages", english.slice(0, colon));
    if (problem === null) continue;
    const remedy = english.slice(colon + 2);
    const told = deep ? message(remedy, deep - 1) : remedy;
    halfKnown ??= t("message_remedy", { problem, remedy: told });
    if (told !== remedy) return t("message_remedy", { problem, remedy: told });
  }
  return translation("messages", english) ?? halfKnown ?? english;
}

// Whether the name of a change ends where the value that it quotes ends; values are cut off after 40 characters.
function isWhole(change) {
  const value = change.slice(change.indexOf(" ") + 1);
  const quote = value.replace(/^\[+/, "")[0];
  return !["'", '"'].includes(quote) || value.length === 40 || value.replace(/\]+$/, "").endsWith(quote);
}

// The name of a step that can be undone: one change, or several with commas between.
export function step(english) {
  const changes = english.split(", ");
  const rest = { [changes.length]: [] }; // what a person wrote may hold commas itself
  for (let first = changes.length - 1; first >= 0; first--) {
    for (let end = first + 1; end <= changes.length && !rest[first]; end++) {
      const part = changes.slice(first, end).join(", ");
      const text = rest[end] && isWhole(part) ? translation("history", part) : null;
      if (text) rest[first] = [text, ...rest[end]];
    }
  }
  return rest[0]?.join(t("comma")) ?? english;
}

// Why the interface refused: problem and remedy, or what does not fit, field by field.
function reason(answer, status) {
  if (answer?.problem) return answer.remedy ? t("message_remedy", { problem: message(answer.problem), remedy: message(answer.remedy) }) : message(answer.problem);
  if (!Array.isArray(answer?.detail)) return `${status}`;
  return answer.detail.map((field) => t("message_remedy", { problem: field.loc?.slice(1).map((name) => message(t(`${name}`))).join("."), remedy: message(field.msg) })).join("; ");
}

// Say something for a moment. Undo undoes the last step, so that only the last note has it, until something else is done.
export function toast(text, bad = false, undoable = false) {
  if (undoable) forgetUndo();
  const note = document.createElement("div");
  note.className = bad ? "toast bad" : "toast";
  note.textContent = text;
  if (undoable) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: t("undo") });
    button.dataset.undo = "";
    note.append(" ", button);
  }
  const place = document.getElementById("toasts");
  ([...document.querySelectorAll("dialog[open]")].pop() ?? document.body).append(place); // what lies under an open dialog is out of reach
  place.append(note);
  while (place.children.length > 4) place.firstChild.remove();
  let leaving;
  const leave = () => { leaving = setTimeout(() => note.remove(), bad || undoable ? 8000 : 2600); };
  for (const name of ["pointerenter", "focusin"]) note.addEventListener(name, () => clearTimeout(leaving));
  for (const name of ["pointerleave", "focusout"]) note.addEventListener(name, leave);
  leave();
}

document.addEventListener("close", () => document.body.append(document.getElementById("toasts")), true);

const forgetUndo = () => document.querySelectorAll(".toast [data-undo]").forEach((button) => button.remove());

// The same on the page that is gone to.
export function toastLater(text, undoable = false) {
  sessionStorage.setItem("toast", JSON.stringify([text, false, undoable]));
}

const left = sessionStorage.getItem("toast");
sessionStorage.removeItem("toast");
if (left) toast(...JSON.parse(left));

const REMEMBERED = /^\/api\/(clips|albums|views|timelines|uploads|undo|redo)/; // what can be undone then

const TRIES = 60;
// A server with too much to do says when to ask again; all who were told so do not come back at the same moment.
export const putOff = (status, after) => status === 503 && after !== null;
export const pause = (after) => new Promise((resolve) => setTimeout(resolve, 1000 * (Number(after) || 1) * (0.5 + Math.random())));

document.addEventListener("htmx:responseError", async ({ detail: { xhr, elt, target, requestConfig, pathInfo } }) => {
  if (!putOff(xhr.status, xhr.getResponseHeader("retry-after")) || requestConfig.verb !== "get") return;
  await pause(xhr.getResponseHeader("retry-after"));
  if (elt.isConnected && target.isConnected) window.htmx.ajax("GET", pathInfo.finalRequestPath, { target });
});

// What changes clips is sent one after the other: the server does it in the order in which somebody did it, and what is undone
// is the last of it. Whoever leaves the page waits for nothing.
const ORDERED = /^\/api\/(clips(\/(\d+|bulk|bin|restore|purge))?|albums.*|undo|redo)$/;
let isLeft = false;
const pageLeft = new Promise((resolve) => { addEventListener("pagehide", () => { isLeft = true; resolve(); }); });
let before = Promise.resolve();
export const arrived = () => before; // when what has been changed is kept

// Ask the interface; what it refuses is shown and thrown.
export function api(method, path, body, options = {}) {
  if (method === "GET" || !ORDERED.test(path)) return send(method, path, body, options);
  forgetUndo();
  const answer = Promise.race([before, pageLeft]).then(() => send(method, path, body, { keepalive: isLeft, ...options }));
  before = answer.catch(() => {});
  return answer;
}

async function send(method, path, body, options) {
  const headers = { "X-CSRF-Token": csrf };
  if (body !== undefined && !(body instanceof Blob)) headers["Content-Type"] = "application/json";
  let answer;
  try {
    const asked = { method, headers, body: body instanceof Blob || body === undefined ? body : JSON.stringify(body), ...options };
    for (let left = TRIES; left; left--) {
      answer = await fetch(path, asked);
      if (!putOff(answer.status, answer.headers.get("retry-after"))) break;
      await pause(answer.headers.get("retry-after"));
    }
  } catch (error) {
    if (error.name !== "AbortError" && !options.quiet) toast(t("lost"), true);
    throw error;
  }
  if (answer.status === 403 && method !== "GET" && !options.again) { // a server that was started anew has another
    const session = await fetch("/api/session").then((said) => (said.ok ? said.json() : null), () => null);
    if (session && session.csrf !== csrf) {
      csrf = session.csrf;
      return send(method, path, body, { ...options, again: true });
    }
  }
  if (answer.ok && options.whole) return answer;
  const content = answer.headers.get("content-type")?.includes("json") ? await answer.json() : null;
  if (!answer.ok) {
    const text = reason(content, answer.status);
    if (!options.quiet) toast(text, true);
    throw Object.assign(new Error(text), { status: answer.status });
  }
  if (method !== "GET" && REMEMBERED.test(path)) {
    forgetUndo();
    for (const button of document.querySelectorAll("[data-undo][hidden]")) button.hidden = false;
  }
  return content;
}

// Ask a question; the answer is a text, or true, or null when it is given up.
export function ask(title, { text = "", field = null, value = "", choices = [], empty = false } = {}) {
  const dialog = document.getElementById("ask");
  const [label, input] = [dialog.querySelector("#ask-label"), dialog.querySelector("input")];
  dialog.querySelector("#ask-title").textContent = title;
  dialog.querySelector("#ask-text").textContent = text;
  label.hidden = field === null;
  label.querySelector("span").textContent = field ?? "";
  input.placeholder = field ?? "";
  input.required = field !== null && !empty;
  input.value = value;
  dialog.querySelector("#ask-list").replaceChildren(...choices.map((c) => Object.assign(document.createElement("option"), { value: c })));
  dialog.returnValue = "";
  dialog.showModal();
  if (field !== null) input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? (field === null ? true : input.value.trim()) : null), { once: true });
  });
}

export const typing = (event) => event.target.closest("input:not([type=checkbox],[type=radio],[type=range]), textarea, select, [contenteditable]") !== null;

export function drawStars(place, stars) {
  for (const star of place.querySelectorAll("[data-star]")) star.setAttribute("aria-pressed", String(Number(star.dataset.star) <= stars));
}

export function drawVerdict(place, verdict) {
  for (const button of place.querySelectorAll("[data-verdict]")) if (button.tagName === "BUTTON") button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
}

// What a key means for a clip: changes, or null.
export function judged(event, now) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (/^[0-5]$/.test(event.key)) return { stars: Number(event.key) };
  const verdict = { k: "keep", x: "reject", u: "undecided" }[event.key.toLowerCase()];
  return verdict ? { verdict: now?.verdict === verdict ? "undecided" : verdict } : null;
}

export async function undo(redo = false) {
  const undone = await api("POST", redo ? "/api/redo" : "/api/undo");
  const said = undone?.unchanged ? t("undo_unchanged", { what: step(undone.what) }) : undone ? t(redo ? "redone" : "undone", { what: step(undone.what) }) : t(redo ? "nothing_to_redo" : "nothing_to_undo");
  toast(said);
  if (!undone && !redo) for (const button of document.querySelectorAll("button[data-undo]")) button.hidden = true;
  if (undone) document.body.dispatchEvent(new CustomEvent("undone", { detail: said }));
}

// Remove clips; where others are made from them by effects, these go along, or nothing is removed (null).
export async function removed(path, ids) {
  try {
    return await api("POST", path, { ids }, { quiet: true });
  } catch (error) {
    if (error.status !== 409) { if (error.status) toast(error.message, true); throw error; }
    const along = await ask(t("edits_along"), { text: error.message });
    return along ? api("POST", path, { ids, edits: true }) : null;
  }
}

export async function intoAlbum(ids, query) {
  const albums = await api("GET", "/api/albums");
  const name = await ask(t("to_album"), { field: t("name"), choices: albums.map((album) => album.name) });
  if (!name) return;
  const album = albums.find((known) => known.name === name) ?? (await api("POST", "/api/albums", { name }));
  const now = await api("POST", `/api/albums/${album.id}/clips`, query ? { query } : { ids });
  toast(t("album_added", { n: now.clips, name: now.name }), false, true);
  document.body.dispatchEvent(new CustomEvent("clips"));
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.help !== undefined) document.getElementById("keys").showModal();
  if (button.dataset.dismiss !== undefined) button.closest("dialog").close("");
  if (button.dataset.undo !== undefined) { button.closest(".toast")?.remove(); await undo(); }
  if (button.dataset.cancel) { await api("POST", `/api/jobs/${button.dataset.cancel}/cancel`); document.body.dispatchEvent(new CustomEvent("jobs")); }
  if (button.dataset.post) { await api("POST", button.dataset.post); toast(t(button.dataset.said)); document.body.dispatchEvent(new CustomEvent(button.dataset.then)); }
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !typing(event) && ["z", "y"].includes(event.key.toLowerCase())) {
    event.preventDefault();
    undo(event.key.toLowerCase() === "y" || event.shiftKey);
  } else if (!typing(event) && event.key === "?" && !document.querySelector("dialog[open]")) {
    document.getElementById("keys").showModal();
  } else if (!typing(event) && event.key === "/" && document.getElementById("text")) {
    event.preventDefault();
    document.getElementById("text").focus();
  }
});

document.getElementById("campaign")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const [campaign, models] = [form.get("campaign").trim(), form.getAll("model")];
  try { await api("POST", "/api/ratings/pairs", { campaign, models }); } catch { return; } // why no two can be compared was shown
  location.href = `/rate/${encodeURIComponent(campaign)}?${models.map((name) => `model=${encodeURIComponent(name)}`).join("&")}`;
});

// Videos that play by themselves do so unless little motion is asked for; then they have buttons.
function begin() {
  for (const video of document.querySelectorAll("video[data-begins]")) {
    if (still()) video.controls = true;
    else if (video.paused) play(video);
  }
}
document.body.addEventListener("htmx:afterSettle", begin);
begin();

// On a phone the rail scrolls: the place where one is stands in sight.
document.querySelector(".rail [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
