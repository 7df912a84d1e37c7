// The library's page: the grid, the loupe, triage by keyboard, the bar of what is selected, taking in and giving out.

import { api, ask, drawStars, drawVerdict, intoAlbum, judged, t, toast, typing, undo } from "./app.js";
import { Grid } from "./grid.js";

const loupe = document.getElementById("loupe");
const bar = document.getElementById("chosen");
let grid = null;

function open() {
  grid?.end();
  const element = document.getElementById("grid");
  grid = element ? new Grid(element) : null;
  if (grid) {
    const mine = grid;
    const total = Number(element.dataset.total);
    if (total > mine.ids.length) api("GET", `/api/clips/ids?${element.dataset.query}`).then((ids) => mine === grid && mine.fill(ids));
  }
  drawBar();
}

const targets = () => (grid.selected.size && !loupe.open ? [...grid.selected] : [grid.id]).filter((id) => id !== undefined);

function drawBar() {
  const count = grid?.selected.size ?? 0;
  bar.hidden = !count;
  document.getElementById("chosen-count").textContent = t("selected", { n: count.toLocaleString() });
}

function show(ids, changes) {
  for (const id of ids) {
    const card = grid.card(id);
    if (!card) continue;
    if (changes.stars !== undefined) card.dataset.stars = changes.stars;
    if (changes.verdict !== undefined) card.dataset.verdict = changes.verdict;
  }
  if (loupe.open) drawLoupe();
}

async function change(ids, changes) {
  const before = ids.map((id) => ({ id, ...grid.card(id)?.dataset }));
  show(ids, changes);
  try {
    if (ids.length === 1) await api("PATCH", `/api/clips/${ids[0]}`, changes);
    else await api("POST", "/api/clips/bulk", { ids, changes });
  } catch {
    for (const was of before) if (was.stars !== undefined) show([was.id], { stars: was.stars, verdict: was.verdict });
  }
}

async function away(path, ids) {
  await api("POST", path, { ids });
  grid.drop(ids);
  drawBar();
  if (!grid.ids.length) return renew();
  document.body.dispatchEvent(new CustomEvent("clips"));
}

const actions = {
  stars: (value) => change(targets(), { stars: Number(value) }),
  keep: () => change(targets(), { verdict: "keep" }),
  reject: () => change(targets(), { verdict: "reject" }),
  tag: async () => {
    const ids = targets();
    const text = await ask(t("tag"), { field: t("tag_hint") });
    if (!text) return;
    await api("POST", "/api/clips/bulk", { ids, tag: text.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean) });
    await grid.renew(ids);
    document.body.dispatchEvent(new CustomEvent("clips"));
  },
  album: () => intoAlbum(targets()),
  take: async () => {
    const ids = targets();
    await api("DELETE", `/api/albums/${document.getElementById("grid").dataset.album}/clips`, { ids });
    grid.drop(ids);
    drawBar();
  },
  compare: () => { location.href = `/compare?${targets().slice(0, 4).map((id) => `ids=${id}`).join("&")}`; },
  between: () => { const [a, b] = targets(); location.href = `/generate?a=${a}&b=${b ?? ""}#between`; },
  bin: () => away("/api/clips/bin", targets()),
  restore: () => away("/api/clips/restore", targets()),
  purge: async () => { const ids = targets(); if (await ask(t("purge"), { text: t("purge_sure", { n: ids.length }) })) await away("/api/clips/purge", ids); },
  export: () => exported(),
  all: () => { grid.selected = new Set(grid.ids); grid.place(); drawBar(); },
  none: () => { grid.selected.clear(); grid.place(); drawBar(); },
};

async function exported() {
  if (!grid) return;
  const ids = grid.selected.size ? [...grid.selected] : grid.ids;
  const dialog = document.getElementById("export");
  dialog.querySelector("h2").textContent = t("export_as", { n: ids.length.toLocaleString() });
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (!dialog.returnValue) return;
  toast(t("exporting"));
  const ready = await api("POST", "/api/exports", { ids, format: dialog.returnValue });
  Object.assign(document.createElement("a"), { href: ready.url, download: ready.name }).click();
  toast(t("exported", { name: ready.name }));
}

// The loupe

function drawLoupe() {
  const card = grid.card();
  if (!card) return grid.fetch([grid.id]).then(() => grid.card() && drawLoupe());
  const screen = loupe.querySelector(".screen");
  const { id, kind, digest, title, stars, verdict } = card.dataset;
  if (screen.dataset.id !== id) {
    const source = `/api/clips/${id}/${kind === "preview" ? "preview" : "file"}?${digest}`;
    const picture = kind === "video" ? Object.assign(document.createElement("video"), { src: source, loop: true, muted: true, autoplay: true, playsInline: true }) : Object.assign(new Image(), { src: source, alt: title });
    screen.replaceChildren(picture);
    screen.dataset.id = id;
  }
  loupe.classList.toggle("reject", verdict === "reject");
  loupe.querySelector(".name").textContent = title;
  loupe.querySelector("[data-open]").href = `/clip/${id}`;
  drawStars(loupe, Number(stars));
  drawVerdict(loupe, verdict);
}

function enlarge() {
  grid.still();
  loupe.showModal();
  drawLoupe();
}

loupe.addEventListener("close", () => { loupe.querySelector(".screen").replaceChildren(); delete loupe.querySelector(".screen").dataset.id; grid?.element.focus(); });
loupe.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { move, star, verdict } = button.dataset;
  if (move) turn(Number(move));
  if (star) judge({ stars: Number(star) === Number(grid.card().dataset.stars) ? 0 : Number(star) });
  if (verdict) judge({ verdict: grid.card().dataset.verdict === verdict ? "undecided" : verdict });
  if (button.dataset.close !== undefined) loupe.close();
});

function turn(by) {
  grid.go(grid.current + by);
  if (loupe.open) { grid.still(); drawLoupe(); }
}

async function judge(changes) {
  const ids = targets();
  const done = change(ids, changes);
  if (loupe.open && document.getElementById("advance").checked) turn(1);
  await done;
}

// Keys

const moves = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -grid.columns, ArrowDown: () => grid.columns, Home: () => -grid.current, End: () => grid.ids.length, PageDown: () => 3 * grid.columns, PageUp: () => -3 * grid.columns };
const keys = { c: "compare", b: "between", t: "tag", delete: "bin", backspace: "bin", e: "export" };

document.addEventListener("keydown", async (event) => {
  if (!grid || typing(event) || event.ctrlKey || event.metaKey || event.altKey) {
    if (grid && !typing(event) && (event.ctrlKey || event.metaKey) && event.key === "a") { event.preventDefault(); actions.all(); }
    return;
  }
  if (document.querySelector("dialog[open]:not(#loupe)")) return;
  const inside = event.target.closest("button, a, input");
  const key = event.key.toLowerCase();
  const changes = judged(event, grid.card()?.dataset);
  if (changes) { event.preventDefault(); await judge(changes); }
  else if (moves[event.key] && event.target.type !== "range" && event.target.type !== "radio") { event.preventDefault(); if (loupe.open) turn(Math.sign(moves[event.key]())); else { grid.go(grid.current + moves[event.key](), { select: event.shiftKey }); drawBar(); } }
  else if (event.key === "Enter" && !(inside && !loupe.open)) { event.preventDefault(); if (loupe.open) loupe.close(); else enlarge(); }
  else if (event.key === " " && !inside) { event.preventDefault(); grid.pick(grid.id); drawBar(); }
  else if (key === "o") location.href = `/clip/${grid.id}`;
  else if (key === "s") location.href = `/clip/${grid.id}#similar`;
  else if (event.key === "Escape" && !loupe.open) actions.none();
  else if (keys[key] && !(key.length > 1 && inside)) { event.preventDefault(); if (loupe.open && key !== "delete") loupe.close(); actions[keys[key]](); if (loupe.open) drawLoupe(); }
});

// The pointer

document.getElementById("results").addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.saveView !== undefined) {
    const name = await ask(t("save_view"), { field: t("view_name") });
    if (name) { await api("PUT", `/api/views/${encodeURIComponent(name)}`, listed()); toast(t("saved")); document.body.dispatchEvent(new CustomEvent("clips")); }
    return;
  }
  if (button?.dataset.purgeAll !== undefined) { actions.all(); await actions.purge(); return; }
  if (button?.dataset.restoreAll !== undefined) { actions.all(); await actions.restore(); return; }
  const card = event.target.closest(".card");
  if (!card) return;
  const id = Number(card.dataset.id);
  if (event.shiftKey) grid.pick(id, { range: true });
  else if (event.ctrlKey || event.metaKey) grid.pick(id);
  else if (event.target.dataset.star) { grid.go(grid.ids.indexOf(id)); await change([id], { stars: event.target.dataset.star === card.dataset.stars ? 0 : Number(event.target.dataset.star) }); }
  else { grid.go(grid.ids.indexOf(id)); grid.element.focus({ preventScroll: true }); if (matchMedia("(pointer: coarse)").matches) enlarge(); }
  drawBar();
});
document.getElementById("results").addEventListener("dblclick", (event) => { if (event.target.closest(".card")) enlarge(); });
loupe.addEventListener("click", (event) => {
  if (!event.target.closest("[data-restore-one]")) return;
  loupe.close();
  away("/api/clips/restore", [grid.id]);
});
bar.addEventListener("click", (event) => { const button = event.target.closest("[data-do]"); if (button) actions[button.dataset.do](button.dataset.value); });

// The query as the interface takes it: lists where there can be several.
function listed() {
  const query = {};
  for (const [name, value] of new URLSearchParams(document.getElementById("grid")?.dataset.query ?? "")) {
    if (["tag", "without", "metric"].includes(name)) (query[name] ??= []).push(value);
    else query[name] = value;
  }
  return query;
}

document.getElementById("text").addEventListener("change", (event) => event.stopPropagation()); // it is searched while it is typed
document.querySelector("[data-export]").addEventListener("click", exported);
document.getElementById("filters").addEventListener("click", (event) => {
  const open = document.getElementById("facets").classList.toggle("open");
  event.currentTarget.setAttribute("aria-expanded", String(open));
});
document.getElementById("facets").addEventListener("click", async (event) => {
  const name = event.target.closest("[data-forget-view]")?.dataset.forgetView;
  if (name) { await api("DELETE", `/api/views/${encodeURIComponent(name)}`); gone(name); }
  const album = event.target.closest("[data-delete-album]");
  if (album) await dropped(album.dataset.deleteAlbum, album.parentElement.querySelector("input"));
});

async function dropped(album, box) {
  const name = box.parentElement.querySelector("span").textContent;
  await api("DELETE", `/api/albums/${album}`);
  const shown = box.checked;
  box.checked = false;
  gone(name, !shown);
  if (shown) box.dispatchEvent(new Event("change", { bubbles: true })); // the filters follow what is found
}

function gone(name, follow = true) {
  toast(t("deleted", { name }), false, true);
  if (follow) document.body.dispatchEvent(new CustomEvent("clips"));
}
document.getElementById("facets").addEventListener("change", (event) => {
  if (event.target.dataset.single !== undefined && event.target.checked) for (const other of document.querySelectorAll(`#facets [name="${event.target.name}"]`)) if (other !== event.target) other.checked = false;
}, true);
const size = document.getElementById("size");
size.value = localStorage.getItem("card") ?? 220;
const resize = () => { document.documentElement.style.setProperty("--card", `${size.value}px`); localStorage.setItem("card", size.value); grid?.place(); };
size.addEventListener("input", resize);
size.addEventListener("change", (event) => event.stopPropagation());
const advance = document.getElementById("advance");
advance.checked = localStorage.getItem("advance") === "yes";
advance.addEventListener("change", () => localStorage.setItem("advance", advance.checked ? "yes" : ""));

// Taking in

const file = document.getElementById("file");
document.addEventListener("click", (event) => { if (event.target.closest("[data-upload]")) file.click(); });
file.addEventListener("click", (event) => event.stopPropagation());
file.addEventListener("change", (event) => { event.stopPropagation(); taken([...file.files]); });

async function taken(files) {
  let count = 0;
  for (const one of files) {
    toast(t("uploading", { name: one.name }));
    try {
      const upload = await api("POST", `/api/uploads?name=${encodeURIComponent(one.name)}`, one);
      count += upload.added.length;
      if (upload.known.length && !upload.added.length) toast(t("upload_known", { name: one.name }));
    } catch { /* it was shown */ }
  }
  file.value = "";
  if (count) { toast(t("uploaded", { n: count })); renew(); }
}

let dragged = 0;
const drop = document.getElementById("drop");
addEventListener("dragenter", (event) => { if (event.dataTransfer?.types.includes("Files")) { dragged++; drop.classList.add("on"); } });
addEventListener("dragleave", () => { dragged = Math.max(0, dragged - 1); if (!dragged) drop.classList.remove("on"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); dragged = 0; drop.classList.remove("on"); taken([...event.dataTransfer.files]); });

function renew() {
  window.htmx.ajax("GET", `/parts/clips${location.search}`, { target: "#results" });
}

// What is shown is looked up again, and the place in the grid stays.
async function refresh() {
  if (!grid) return renew();
  const here = grid.id;
  const ids = await api("GET", `/api/clips/ids?${document.getElementById("grid").dataset.query}`);
  grid.fill(ids);
  grid.current = Math.max(0, ids.indexOf(here));
  await grid.renew(ids);
  if (loupe.open) drawLoupe();
  document.body.dispatchEvent(new CustomEvent("clips"));
}

document.body.addEventListener("undone", refresh);
document.body.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id !== "results") return;
  const address = document.querySelector(".found").dataset.query;
  history.replaceState(null, "", address ? `/?${address}` : "/");
  open();
  document.body.dispatchEvent(new CustomEvent("clips"));
});
resize();
open();
