// The page that makes data sets: a folder of this computer is chosen, or files are sent in pieces, which go on after a break.

import { api, ask, t, toast } from "./app.js";

const PIECE = 2 * 2 ** 20; // bytes
const PATIENCE = 10_000; // milliseconds between two attempts, at most

const form = document.getElementById("new");
const list = document.getElementById("sources");
const dialog = document.getElementById("folders");
const zone = document.getElementById("zone");
const endings = new Set(JSON.parse(form.dataset.endings));
const adding = form.dataset.adding !== "";
const chosen = new Map(JSON.parse(form.dataset.sources)); // path -> what it is called
let stopping = null; // ends what is being sent

// What is chosen

function drawSources() {
  list.replaceChildren(...[...chosen].map(([path, name]) => {
    const item = Object.assign(document.createElement("li"), { className: "row tight" });
    const text = Object.assign(document.createElement("span"), { textContent: name, title: path });
    const away = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "×", ariaLabel: `${t("delete")}: ${name}` });
    away.addEventListener("click", () => { chosen.delete(path); drawSources(); });
    item.append(text, Object.assign(document.createElement("span"), { className: "spacer" }), away);
    return item;
  }));
  drawSuited();
}

function choose(path, name) {
  chosen.set(path, name);
  if (!form.elements.name.value) form.elements.name.value = named(name);
  drawSources();
}

// A name that a folder may have, out of any.
function named(text) {
  return text.replace(/[^\p{L}\p{N}_ .-]+/gu, "-").replace(/^[^\p{L}\p{N}_]+/u, "").slice(0, 60).trim() || "clips";
}

const size = () => form.elements.size.value || form.elements.other.value.trim().replace("×", "x") || "64x64";

// Say which size would be chosen, where it is not given.
let asked = 0;
async function drawSuited() {
  const place = document.getElementById("suits");
  const wanted = size();
  place.textContent = "";
  const turn = ++asked;
  if (!chosen.size || wanted.includes("x")) return;
  const query = new URLSearchParams([...[...chosen.keys()].slice(0, 100).map((path) => ["path", path]), ...(wanted === "auto" ? [] : [["most", wanted]])]);
  place.textContent = t("measuring_size");
  const suited = await api("GET", `/api/sources/size?${query}`, undefined, { quiet: true }).catch(() => null);
  if (turn === asked) place.textContent = suited?.width ? t("suits", { width: suited.width, height: suited.height, n: suited.videos }) : t("suits_none");
}

for (const field of ["size", "other"]) form.elements[field].addEventListener("change", () => {
  document.getElementById("other-size").hidden = form.elements.size.value !== "";
  drawSuited();
});

// Folders of this computer

document.getElementById("browse").addEventListener("click", () => {
  window.htmx.ajax("GET", "/parts/folders", { target: "#folder-list", swap: "innerHTML" });
  dialog.showModal();
});
dialog.addEventListener("click", (event) => {
  const path = event.target.closest("[data-take]")?.dataset.take;
  if (!path) return;
  dialog.close();
  choose(path, path.split(/[\\/]/).filter(Boolean).pop() ?? path);
});

// Files that are sent

const taken = (path) => endings.has(path.split(".").pop().toLowerCase()) && !path.split("/").some((part) => part.startsWith("."));

// The files of what was dropped, folders and all that is in them, as [path, file].
async function dropped(items) {
  const found = [];
  async function visit(entry, above) {
    const path = above + entry.name;
    if (entry.isFile) {
      if (taken(path)) found.push([path, await new Promise((resolve, reject) => { entry.file(resolve, reject); })]);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (!some.length) break;
      for (const one of some) await visit(one, `${path}/`);
    }
  }
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean); // all at once: they are gone after a wait
  for (const entry of entries) await visit(entry, "");
  return found;
}

// Without the folder that all lie in, of which the sub-folders are the labels; it is a label itself where it is added to others.
function withoutTop(files) {
  const tops = new Set(files.map(([path]) => path.split("/")[0]));
  const flat = files.every(([path]) => path.split("/").length === 2);
  if (tops.size !== 1 || files.some(([path]) => !path.includes("/")) || (adding && flat && form.dataset.labelled !== undefined)) return ["", files];
  return [[...tops][0], files.map(([path, file]) => [path.slice(path.indexOf("/") + 1), file])];
}

// Ask the interface again and again while the server cannot be reached, or has too much to do.
async function patient(signal, method, path, body) {
  for (let wait = 500; ; wait = Math.min(2 * wait, PATIENCE)) {
    try {
      return await api(method, path, body, { quiet: true, signal });
    } catch (error) {
      if (signal.aborted || (error.status !== undefined && error.status !== 429 && error.status < 502)) throw error;
      document.getElementById("sending-text").textContent = t("waiting_server");
      await new Promise((resolve) => { setTimeout(resolve, wait); });
    }
  }
}

const bytes = (count) => ["B", "kB", "MB", "GB", "TB"].reduce((text, unit, power) => (count >= 1000 ** power ? `${(count / 1000 ** power).toPrecision(3)} ${unit}` : text), "0 B");

async function send(files) {
  if (!files.length) return toast(t("no_media"), true);
  if (stopping) return toast(t("one_upload"), true);
  const [top, all] = withoutTop(files);
  const mine = `uploads/${form.elements.name.value}`;
  const into = adding && [...chosen.keys()].some((path) => path.endsWith(mine));
  const folder = adding ? form.elements.name.value : named(top || form.elements.name.value || all[0][1].name.replace(/\.\w+$/, ""));
  stopping = new AbortController();
  const { signal } = stopping;
  const place = document.getElementById("sending");
  const promised = all.map(([path, file]) => ({ path, size: file.size, modified: file.lastModified }));
  const total = promised.reduce((sum, file) => sum + file.size, 0);
  place.hidden = false;
  document.getElementById("sending-name").textContent = top || folder;
  try {
    const state = await patient(signal, "POST", "/api/sources/uploads", { name: folder, files: promised, into });
    let sum = state.offsets.reduce((all, offset) => all + offset, 0);
    for (const [number, [, file]] of all.entries()) {
      const query = new URLSearchParams({ folder: state.folder, ...promised[number] });
      let offset = state.offsets[number];
      let first = offset === 0 || offset < file.size;
      while (first || offset < file.size) {
        const received = (await patient(signal, "PUT", `/api/sources/uploads?${query}&offset=${offset}`, file.slice(offset, offset + PIECE))).received;
        sum += received - offset;
        offset = received;
        first = false;
        place.querySelector("progress").value = total ? sum / total : 1;
        document.getElementById("sending-text").textContent = t("sent", { number: number + 1, files: all.length, received: bytes(sum), bytes: bytes(total), name: file.name });
      }
    }
    document.querySelector(`[data-upload="${CSS.escape(state.folder)}"]`)?.remove();
    toast(t("sent_all", { n: all.length }));
    choose(state.path, top || state.folder);
  } catch (error) {
    toast(signal.aborted ? t("sending_stopped") : error.message, true);
  } finally {
    stopping = null;
    place.hidden = true;
  }
}

document.getElementById("sending-stop").addEventListener("click", () => stopping?.abort());
addEventListener("beforeunload", (event) => { if (stopping) event.preventDefault(); });
for (const kind of ["folder", "files"]) {
  const input = document.getElementById(`${kind}-input`);
  document.getElementById(`send-${kind}`).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files].map((file) => [file.webkitRelativePath || file.name, file]).filter(([path]) => taken(path));
    input.value = "";
    send(files);
  });
}
addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("on"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("on"); });
addEventListener("drop", async (event) => {
  event.preventDefault();
  zone.classList.remove("on");
  send(await dropped(event.dataTransfer.items));
});

form.addEventListener("click", async (event) => {
  const { use, forget } = event.target.closest("[data-use], [data-forget]")?.dataset ?? {};
  const row = event.target.closest("[data-upload]");
  if (use) { choose(use, row.dataset.upload); row.remove(); }
  if (forget && await ask(t("forget_upload", { name: forget }))) {
    await api("DELETE", `/api/sources/uploads?folder=${encodeURIComponent(forget)}`);
    row.remove();
  }
});

// Making it

function options() {
  const values = { size: size(), labels: form.elements.labels.value };
  for (const input of form.querySelectorAll("[data-option]")) {
    const { option, kind } = input.dataset;
    const standard = JSON.parse(input.dataset.default);
    const value = kind === "flag" ? input.checked : kind === "choice" ? JSON.parse(input.value) : input.value.trim() === "" ? standard : kind === "number" ? Number(input.value) : input.value.trim();
    if (value !== standard) values[option] = value;
  }
  return values;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (stopping) return toast(t("still_sending"), true);
  if (!chosen.size) return toast(t("choose_source"), true);
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try {
    await api("POST", "/api/jobs/ingest", { sources: [...chosen.keys()], name: named(form.elements.name.value), into: adding ? form.dataset.adding : null, options: options(), advise: form.elements.advise.checked });
    toast(t("in_queue"));
    if (!adding) { chosen.clear(); form.elements.name.value = ""; drawSources(); }
    document.body.dispatchEvent(new CustomEvent("jobs"));
    document.getElementById("jobs-title").scrollIntoView({ block: "nearest" });
  } finally {
    button.disabled = false;
  }
});

// The list of data sets follows the jobs.
let done = document.querySelectorAll("#jobs .job.done").length;
document.body.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id !== "jobs") return;
  const now = document.querySelectorAll("#jobs .job.done").length;
  if (now !== done) document.body.dispatchEvent(new CustomEvent("datasets"));
  done = now;
});

drawSources();
