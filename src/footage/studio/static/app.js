// What every page has: words, requests, messages, dialogs, keys for help and undo.

const words = JSON.parse(document.getElementById("words").textContent);
const csrf = document.querySelector("meta[name=csrf]").content;

export function t(name, values = {}) {
  return (words[name] ?? name).replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

export function toast(text, bad = false, undoable = false) {
  const made = document.createElement("div");
  made.className = bad ? "toast bad" : "toast";
  made.textContent = text;
  if (undoable) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: t("undo") });
    button.dataset.undo = "";
    made.append(" ", button);
  }
  const place = document.getElementById("toasts");
  place.append(made);
  while (place.children.length > 4) place.firstChild.remove();
  setTimeout(() => made.remove(), bad || undoable ? 8000 : 2600);
}

// Ask the interface; what it refuses is shown and thrown.
export async function api(method, path, body, options = {}) {
  const headers = { "X-CSRF-Token": csrf };
  if (body !== undefined && !(body instanceof Blob)) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body instanceof Blob || body === undefined ? body : JSON.stringify(body), ...options });
  } catch (error) {
    if (error.name !== "AbortError") toast(t("lost"), true);
    throw error;
  }
  const said = answer.headers.get("content-type")?.includes("json") ? await answer.json() : null;
  if (!answer.ok) {
    const detail = Array.isArray(said?.detail) ? said.detail.map((d) => `${d.loc?.slice(1).join(".")}: ${d.msg}`).join("; ") : "";
    const text = said?.problem ? said.problem + (said.remedy ? `: ${said.remedy}` : "") : detail || `${answer.status}`;
    if (!options.quiet) toast(text, true);
    throw Object.assign(new Error(text), { status: answer.status });
  }
  return said;
}

// Ask a question; the answer is a text, or true, or null when it is given up.
export function ask(title, { text = "", field = null, value = "", choices = [] } = {}) {
  const dialog = document.getElementById("ask");
  const [label, input] = [dialog.querySelector("#ask-label"), dialog.querySelector("input")];
  dialog.querySelector("#ask-title").textContent = title;
  dialog.querySelector("#ask-text").textContent = text;
  label.hidden = field === null;
  label.querySelector("span").textContent = field ?? "";
  input.placeholder = field ?? "";
  input.required = field !== null;
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
  const step = await api("POST", redo ? "/api/redo" : "/api/undo");
  toast(step ? t(redo ? "redone" : "undone", { what: step.what }) : t("nothing_to_undo"));
  if (step) document.body.dispatchEvent(new CustomEvent("undone"));
}

export async function intoAlbum(ids, query) {
  const albums = await api("GET", "/api/albums");
  const name = await ask(t("to_album"), { field: t("name"), choices: albums.map((album) => album.name) });
  if (!name) return;
  const album = albums.find((known) => known.name === name) ?? (await api("POST", "/api/albums", { name }));
  const now = await api("POST", `/api/albums/${album.id}/clips`, query ? { query } : { ids });
  toast(t("album_added", { n: now.clips, name: now.name }));
  document.body.dispatchEvent(new CustomEvent("clips"));
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.help !== undefined) document.getElementById("keys").showModal();
  if (button.dataset.dismiss !== undefined) button.closest("dialog").close("");
  if (button.dataset.undo !== undefined) { button.closest(".toast")?.remove(); await undo(); }
  if (button.dataset.cancel) { await api("POST", `/api/jobs/${button.dataset.cancel}/cancel`); document.body.dispatchEvent(new CustomEvent("jobs")); }
  if (button.dataset.post) { await api("POST", button.dataset.post); document.body.dispatchEvent(new CustomEvent(button.dataset.then)); }
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

document.getElementById("campaign")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const models = form.getAll("model").map((name) => `model=${encodeURIComponent(name)}`).join("&");
  location.href = `/rate/${encodeURIComponent(form.get("campaign").trim())}?${models}`;
});

// On a phone the rail scrolls: the place where one is stands in sight.
document.querySelector(".rail [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
