// The library's page: the grid, the loupe, triage by keyboard, the bar of what is selected, taking in and giving out.

import { api, arrived, ask, drawStars, drawVerdict, intoAlbum, judged, message, removed, t, toast, typing, undo } from "./app.js";
import { Grid } from "./grid.js";
import { drawSound, hear, moves, play, preview, setSound, still } from "./player.js";

const loupe = document.getElementById("loupe");
const bar = document.getElementById("chosen");
let grid = null;

function open() {
  grid?.end();
  const element = document.getElementById("grid");
  grid = element ? new Grid(element, uncropped()) : null;
  document.querySelector("[data-export]").hidden = !grid;
  if (grid) {
    const mine = grid;
    const total = element.dataset.total; // empty where it is not known yet
    mine.whole = total !== "" && Number(total) <= mine.ids.length;
    mine.lost = () => { drawBar(); drawTotal(); };
    mine.wanted = () => lengthen(mine).catch(() => {}); // what went wrong has been said
    if (mine.whole) arrive();
    else lengthen(mine).then(() => { if (mine === grid) arrive(); });
  }
  drawBar();
}

// Of a large library the grid has the numbers of the first clips, and more as somebody comes to their end.
const LISTED = 5000;

// The numbers of the clips that come after one; rows of whole pictures need their shapes too.
async function listedAfter(of, after, limit) {
  const asked = `${of.element.dataset.query}&limit=${limit}${after ? `&after=${after}` : ""}`;
  if (!of.uncropped) return api("GET", `/api/clips/ids?${asked}`);
  const shapes = await api("GET", `/api/clips/shapes?${asked}`);
  for (const [id, shape] of shapes) of.shapes.set(id, shape);
  return shapes.map(([id]) => id);
}

function lengthen(mine) {
  mine.lengthening ??= listedAfter(mine, mine.ids.at(-1), LISTED).then(async (ids) => {
    const known = new Set(mine.ids);
    mine.whole ||= ids.length < LISTED;
    mine.fill([...mine.ids, ...ids.filter((id) => !known.has(id))]);
    await counted(mine);
  }).finally(() => { mine.lengthening = null; });
  return mine.lengthening;
}

async function counted(mine) {
  const { dataset } = mine.element;
  if (dataset.total !== "") return;
  dataset.total = mine.whole ? mine.ids.length : await api("GET", `/api/clips/count?${dataset.query}`);
  if (mine === grid) drawTotal();
}

async function complete() {
  const mine = grid;
  while (!mine.whole) await lengthen(mine);
}

// From a clip's page one comes back to where one was.
function arrive() {
  const place = grid.ids.indexOf(Number(/^#clip-(\d+)$/.exec(location.hash)?.[1]));
  if (place < 0) return;
  history.replaceState(null, "", location.pathname + location.search);
  grid.go(place);
  grid.element.focus({ preventScroll: true });
}

const targets = () => (grid.selected.size && !loupe.open ? [...grid.selected] : [grid.id]).filter((id) => id !== undefined);

function drawBar() {
  const count = grid?.selected.size ?? 0;
  bar.hidden = !count;
  bar.querySelector("[data-do=compare]").hidden = count < 2 || count > 4;
  bar.querySelector("[data-do=between]").hidden = count !== 2 || !between(...grid.selected);
  document.getElementById("chosen-count").textContent = t("selected", { n: count.toLocaleString() });
}

// Whether a model can make clips between two: one that encodes clips, or the one that streams and made both of them. Which
// models there are is asked for when somebody first chooses two.
let models = null;

function between(a, b) {
  if (!models) {
    models = [];
    api("GET", "/api/models").then((found) => { models = found; drawBar(); });
  }
  const made = [a, b].map((id) => grid.card(id)?.dataset);
  return models.some((model) => model.verbs.includes("interpolate") || (model.streams && made.every((clip) => clip?.weights === model.weights && clip.seeded !== undefined)));
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

// What is changed shows at once, and what is no longer looked for goes away at once.
async function change(ids, changes) {
  const lost = !fits(changes);
  show(ids, changes);
  if (lost) takeAway(ids);
  try {
    if (ids.length === 1) await api("PATCH", `/api/clips/${ids[0]}`, changes);
    else await api("POST", "/api/clips/bulk", { ids, changes });
  } catch {
    return refresh();
  }
  if (lost) toast(t("left_view", { n: ids.length }), false, true);
  followed();
}

// Whether clips with these stars, or this verdict, are among those that are looked for.
function fits({ stars, verdict }) {
  const query = listed();
  if (stars !== undefined && (stars < Number(query.min_stars ?? 0) || stars > Number(query.max_stars ?? 5))) return false;
  return verdict === undefined || !query.verdict || query.verdict === verdict;
}

let takenAway = 0; // times that clips were

function takeAway(ids) {
  takenAway++;
  grid.drop(ids);
  drawBar();
  drawTotal();
  if (!loupe.open) return;
  if (grid.ids.length) drawLoupe();
  else loupe.close();
}

function drawTotal() {
  const { total } = grid.element.dataset;
  document.getElementById("total").textContent = t("clips", { n: total === "" ? "…" : Number(total).toLocaleString("en") });
}

// The filters follow what is found; where nothing is left, the page says so.
function followed() {
  if (grid && !grid.ids.length) renew();
  else document.body.dispatchEvent(new CustomEvent("clips"));
}

async function away(path, ids, said, undoable = true) {
  const gone = await removed(path, ids);
  if (!gone) return;
  takeAway(ids);
  if (gone.clips > ids.length) refresh(); // others went along
  toast(t(said, { n: gone.clips }), false, undoable);
  followed();
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
    toast(t("tagged", { n: ids.length }), false, true);
    await grid.renew(ids);
    document.body.dispatchEvent(new CustomEvent("clips"));
  },
  album: () => intoAlbum(targets()),
  take: async () => {
    const ids = targets();
    await api("DELETE", `/api/albums/${document.getElementById("grid").dataset.album}/clips`, { ids });
    takeAway(ids);
    toast(t("taken_out", { n: ids.length }), false, true);
    followed();
  },
  compare: () => {
    const ids = targets();
    if (ids.length < 2 || ids.length > 4) toast(t("compare_hint"));
    else location.href = `/compare?${ids.map((id) => `ids=${id}`).join("&")}`;
  },
  between: () => {
    const [a, b, more] = targets();
    if (b === undefined || more !== undefined) toast(t("between_choose"));
    else location.href = `/generate?a=${a}&b=${b}#between`;
  },
  join: async () => {
    const clips = targets();
    if (clips.length < 2) return toast(t("join_choose"));
    await api("POST", "/api/jobs/join", { clips });
    toast(t("in_queue"));
    document.body.dispatchEvent(new CustomEvent("jobs"));
  },
  bin: () => (grid.element.dataset.bin === undefined ? away("/api/clips/bin", targets(), "binned") : actions.purge()),
  restore: () => away("/api/clips/restore", targets(), "restored"),
  purge: async () => { const ids = targets(); if (await ask(t("purge"), { text: t("purge_sure", { n: ids.length }) })) await away("/api/clips/purge", ids, "purged", false); },
  export: () => exported(),
  all: async () => { await complete(); grid.selected = new Set(grid.ids); grid.place(); drawBar(); },
  none: () => { grid.selected.clear(); grid.place(); drawBar(); },
};

async function exported() {
  if (!grid) return;
  if (!grid.selected.size) await complete();
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
  toast([t("exported", { name: ready.name }), ...ready.told.map((text) => message(text))].join("\n"), !ready.complete);
}

// The loupe

function drawLoupe() {
  const card = grid.card();
  if (!card) return grid.fetch([grid.id]).then(() => grid.card() && drawLoupe());
  const screen = loupe.querySelector(".screen");
  const { id, kind, digest, title, stars, verdict } = card.dataset;
  if (screen.dataset.id !== id) {
    const source = `/api/clips/${id}/${["preview", "volume"].includes(kind) ? "preview" : "file"}?${digest}`;
    screen.dataset.id = id;
    if (kind === "video") {
      const video = Object.assign(document.createElement("video"), { src: source, poster: `/api/clips/${id}/thumbnail?${digest}`, loop: true, playsInline: true, muted: true });
      video.setAttribute("aria-label", title);
      video.dataset.preview = `/api/clips/${id}/preview?${digest}`;
      for (const name of ["play", "pause", "volumechange"]) video.addEventListener(name, drawPlaying);
      video.addEventListener("error", () => { if (video.isConnected) preview(video); drawPlaying(); });
      screen.replaceChildren(video);
      if (card.dataset.audio !== undefined) hear(video);
      if (!still()) play(video);
    } else {
      const picture = document.createElement("picture");
      if (still()) picture.append(Object.assign(document.createElement("source"), { srcset: `/api/clips/${id}/thumbnail?${digest}` }));
      picture.append(Object.assign(new Image(), { src: source, alt: title }));
      screen.replaceChildren(picture);
    }
    drawPlaying();
  }
  loupe.classList.toggle("reject", verdict === "reject");
  loupe.querySelector(".name").textContent = title;
  loupe.querySelector("[data-open]").href = clipPage(id);
  loupe.querySelector("[data-move='-1']").disabled = grid.current === 0;
  loupe.querySelector("[data-move='1']").disabled = grid.current === grid.ids.length - 1;
  drawStars(loupe, Number(stars));
  drawVerdict(loupe, verdict);
  drawCaption(id);
}

// Captions: one writes, Enter keeps and goes on to the next clip, and the clip's own stand there already.
const caption = document.getElementById("caption");
const written = caption.querySelector("textarea");

async function drawCaption(id) {
  if (caption.hidden || written.dataset.id === id) return;
  Object.assign(written, { value: "", disabled: true });
  written.dataset.id = id;
  const { prompt } = await api("GET", `/api/clips/${id}`);
  if (written.dataset.id !== id) return; // another clip is looked at by now
  Object.assign(written, { value: prompt, defaultValue: prompt, disabled: false });
  written.focus();
}

async function keepCaption() {
  const { id } = written.dataset;
  if (written.disabled || written.value === written.defaultValue) return;
  written.defaultValue = written.value;
  await api("PATCH", `/api/clips/${id}`, { prompt: written.value });
}

async function captions(open = caption.hidden) {
  if (!open) await keepCaption();
  caption.hidden = !open;
  delete written.dataset.id;
  loupe.querySelector("[data-caption]")?.setAttribute("aria-pressed", String(open));
  if (open) drawCaption(String(grid.id));
  else loupe.querySelector("[data-caption]")?.focus();
}

written.addEventListener("keydown", async (event) => {
  if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); await captions(false); }
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  await keepCaption();
  turn(1);
});
written.addEventListener("blur", keepCaption);

// The buttons of what moves and what sounds.
function drawPlaying() {
  const screen = loupe.querySelector(".screen");
  const video = screen.querySelector("video");
  const [playing, sound] = [loupe.querySelector("[data-play]"), loupe.querySelector("[data-sound]")];
  playing.hidden = !video && !screen.querySelector("source");
  playing.querySelector("use").setAttribute("href", `/static/icons.svg#${video && !video.paused ? "pause" : "play"}`);
  playing.setAttribute("aria-label", video && !video.paused ? playing.dataset.pause : playing.dataset.start);
  sound.hidden = !video || grid.card(Number(screen.dataset.id))?.dataset.audio === undefined;
  if (video) drawSound(sound, video.muted || video.volume === 0);
}

function togglePlaying() {
  const video = loupe.querySelector("video");
  if (!video) moves(loupe);
  else if (video.paused) play(video);
  else video.pause();
  drawPlaying();
}

function toggleSound() {
  const video = loupe.querySelector("video");
  if (video && !loupe.querySelector("[data-sound]").hidden) setSound(video, video.muted);
}

// A clip's page knows from which clips one comes.
function clipPage(id, hash = "") {
  const query = document.getElementById("grid").dataset.query;
  return `/clip/${id}${query ? `?${query}` : ""}${hash}`;
}

function enlarge() {
  grid.still();
  loupe.showModal();
  drawLoupe();
  const playing = loupe.querySelector("[data-play]");
  (playing.hidden ? loupe.querySelector("[data-close]") : playing).focus();
}

loupe.addEventListener("close", () => { caption.hidden = true; delete written.dataset.id; loupe.querySelector("[data-caption]")?.setAttribute("aria-pressed", "false"); loupe.querySelector(".screen").replaceChildren(); delete loupe.querySelector(".screen").dataset.id; grid?.element.focus(); });
loupe.addEventListener("click", (event) => {
  if (event.target.closest("video") && !swipe?.across) togglePlaying();
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.play !== undefined) togglePlaying();
  if (button.dataset.sound !== undefined) toggleSound();
  const { move, star, verdict } = button.dataset;
  if (move) turn(Number(move));
  if (star) judge({ stars: Number(star) === Number(grid.card().dataset.stars) ? 0 : Number(star) });
  if (verdict) judge({ verdict: grid.card().dataset.verdict === verdict ? "undecided" : verdict });
  if (button.dataset.caption !== undefined) captions();
  if (button.dataset.close !== undefined) loupe.close();
});

// Where screens are touched one swipes from clip to clip; the picture follows the finger unless little motion is asked for.
const FAR = 56; // pixels
let swipe = null; // the last one: where it began, and how far it has gone
const surface = loupe.querySelector(".screen");
surface.addEventListener("pointerdown", (event) => { if (event.isPrimary && event.button === 0) swipe = { x: event.clientX, y: event.clientY, across: 0, goes: true }; });
surface.addEventListener("pointermove", (event) => {
  if (!swipe?.goes || !event.isPrimary) return;
  const [across, down] = [event.clientX - swipe.x, event.clientY - swipe.y];
  if (!swipe.across && (Math.abs(across) < 8 || Math.abs(down) > Math.abs(across))) return;
  if (!swipe.across) surface.setPointerCapture(event.pointerId);
  swipe.across = across || 1;
  if (!still()) surface.firstElementChild?.style.setProperty("translate", `${across}px`);
});
for (const name of ["pointerup", "pointercancel"]) surface.addEventListener(name, () => {
  if (!swipe?.goes) return;
  swipe.goes = false;
  surface.firstElementChild?.style.removeProperty("translate");
  if (name === "pointerup" && Math.abs(swipe.across) >= FAR) turn(swipe.across < 0 ? 1 : -1);
});

function turn(by) {
  grid.go(grid.current + by);
  if (loupe.open) { grid.still(); drawLoupe(); }
}

async function judge(changes) {
  const ids = targets();
  const here = grid.id;
  const done = change(ids, changes);
  if (loupe.open && document.getElementById("advance").checked && grid.id === here) turn(1); // else it has gone, and the next is there
  await done;
}

// Keys

const rows = (by) => () => grid.beside(by) - grid.current;
const arrows = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: rows(-1), ArrowDown: rows(1), Home: () => -grid.current, End: () => grid.ids.length, PageDown: rows(3), PageUp: rows(-3) };
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
  else if (arrows[event.key] && event.target.type !== "range" && event.target.type !== "radio") { event.preventDefault(); if (loupe.open) turn(Math.sign(arrows[event.key]())); else { grid.go(grid.current + arrows[event.key](), { select: event.shiftKey }); drawBar(); } }
  else if (event.key === "Enter" && !(inside && !loupe.open)) { event.preventDefault(); if (loupe.open) loupe.close(); else enlarge(); }
  else if (event.key === " " && !inside) { event.preventDefault(); grid.pick(grid.id); drawBar(); }
  else if (key === "o") location.href = clipPage(grid.id);
  else if (key === "s") location.href = clipPage(grid.id, "#similar");
  else if (loupe.open && key === "p") togglePlaying();
  else if (loupe.open && key === "m") toggleSound();
  else if (loupe.open && key === "w" && loupe.querySelector("[data-caption]")) { event.preventDefault(); captions(true); }
  else if (event.key === "Escape" && !loupe.open) actions.none();
  else if (keys[key] && !(key.length > 1 && inside && !loupe.open)) { event.preventDefault(); if (loupe.open && key !== "delete") loupe.close(); actions[keys[key]](); if (loupe.open) drawLoupe(); }
});

// The pointer

document.getElementById("results").addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.saveView !== undefined) {
    const name = await ask(t("save_view"), { field: t("view_name") });
    if (name) { await api("PUT", `/api/views/${encodeURIComponent(name)}`, listed()); toast(t("saved")); document.body.dispatchEvent(new CustomEvent("clips")); }
    return;
  }
  if (button?.dataset.purgeAll !== undefined) { await actions.all(); await actions.purge(); return; }
  if (button?.dataset.restoreAll !== undefined) { await actions.all(); await actions.restore(); return; }
  const card = event.target.closest(".card");
  if (!card) return;
  const id = Number(card.dataset.id);
  const over = event.target.closest("[data-pick], [data-enlarge]")?.dataset ?? {};
  if (over.enlarge !== undefined) { grid.go(grid.ids.indexOf(id)); enlarge(); }
  else if (over.pick !== undefined && !event.shiftKey) grid.pick(id);
  else if (event.shiftKey) grid.pick(id, { range: true });
  else if (event.ctrlKey || event.metaKey) grid.pick(id);
  else if (event.target.dataset.star) { grid.go(grid.ids.indexOf(id)); await change([id], { stars: event.target.dataset.star === card.dataset.stars ? 0 : Number(event.target.dataset.star) }); }
  else { grid.go(grid.ids.indexOf(id)); grid.element.focus({ preventScroll: true }); if (matchMedia("(pointer: coarse)").matches) enlarge(); }
  drawBar();
});
document.getElementById("results").addEventListener("dblclick", (event) => { if (event.target.closest(".card") && !event.target.closest("[data-pick], [data-star]")) enlarge(); });
loupe.addEventListener("click", (event) => {
  if (!event.target.closest("[data-restore-one]")) return;
  loupe.close();
  away("/api/clips/restore", [grid.id], "restored");
});
bar.addEventListener("click", (event) => { const button = event.target.closest("[data-do]"); if (button) actions[button.dataset.do](button.dataset.value); });

// The query as the interface takes it: lists where there can be several.
function listed() {
  const query = {};
  for (const [name, value] of new URLSearchParams(document.getElementById("grid")?.dataset.query ?? "")) {
    if (["tag", "without", "metric", "any_model", "any_label"].includes(name)) (query[name] ??= []).push(value);
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
// Filters that come late do not take back what was chosen meanwhile; with that they come again.
const facets = document.getElementById("facets");
const chosen = () => new URLSearchParams(new FormData(document.getElementById("query"))).toString();
let asked = "";
facets.addEventListener("htmx:beforeRequest", () => { asked = chosen(); });
facets.addEventListener("htmx:beforeSwap", (event) => { if (asked !== chosen()) event.detail.shouldSwap = false; });
facets.addEventListener("click", async (event) => {
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
// A figure's bounds are one parameter: NAME:LEAST:MOST.
document.getElementById("facets").addEventListener("change", (event) => {
  const figure = event.target.closest("[data-figure]");
  if (!figure) return;
  const ends = [...figure.querySelectorAll("[type=number]")].map((input) => input.value);
  figure.querySelector("[name=metric]").value = ends.some(Boolean) ? [figure.dataset.figure, ...ends].join(":") : "";
}, true);
// What is found by rough words is in their order, as long as there are some.
const words = document.getElementById("words");
words?.addEventListener("input", () => {
  const sort = document.getElementById("sort");
  if (words.value.trim() && sort.value === "newest") sort.value = "words";
  else if (!words.value.trim() && sort.value === "words") sort.value = "newest";
});
words?.addEventListener("change", (event) => event.stopPropagation());
document.getElementById("facets").addEventListener("change", (event) => {
  if (event.target.dataset.single !== undefined && event.target.checked) for (const other of document.querySelectorAll(`#facets [name="${event.target.name}"]`)) if (other !== event.target) other.checked = false;
}, true);
const size = document.getElementById("size");
size.value = localStorage.getItem("card") ?? 220;
const resize = () => { document.documentElement.style.setProperty("--card", `${size.value}px`); localStorage.setItem("card", size.value); grid?.place(); };
size.addEventListener("input", resize);
size.addEventListener("change", (event) => event.stopPropagation());
const LAYOUT = ["layout", document.body.dataset.account].filter(Boolean).join(":"); // each account has its own
const layouts = document.querySelectorAll("[data-layout]");
const uncropped = () => localStorage.getItem(LAYOUT) !== "cells";
const drawLayout = () => { for (const button of layouts) button.setAttribute("aria-pressed", String((button.dataset.layout === "rows") === uncropped())); };
for (const button of layouts) button.addEventListener("click", () => {
  localStorage.setItem(LAYOUT, button.dataset.layout);
  drawLayout();
  if (!grid) return;
  grid.arrange(uncropped());
  grid.reveal();
  if (grid.uncropped && grid.ids.some((id) => !grid.shapes.has(id))) refresh(); // which shapes they have was not asked for
});
drawLayout();
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
      if (upload.job) { toast(t(upload.in_memory ? "importing_locked" : "importing", { name: one.name })); followImport(upload.job); }
      if (upload.known.length && !upload.added.length) toast(t("upload_known", { name: one.name }));
    } catch { /* it was shown */ }
  }
  file.value = "";
  if (count) { toast(t("uploaded", { n: count })); renew(); }
}

// A zip file is taken in by a job: its clips are shown when it is done.
async function followImport(id) {
  let job;
  do {
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
    job = await api("GET", `/api/jobs/${id}`, undefined, { quiet: true }).catch((error) => { if (error.status) throw error; }); // without a connection it goes on
  } while (!job || job.ended === null);
  if (job.state === "failed") toast(message(job.message), true);
  if (job.state !== "done") return;
  const { added, known, refused, told } = job.result;
  toast([t("uploaded", { n: added }), ...told.slice(0, (known > 0) + (refused > 0)).map(message)].join(t("comma")), refused > 0);
  renew();
}

let dragged = 0;
const drop = document.getElementById("drop");
addEventListener("dragenter", (event) => { if (event.dataTransfer?.types.includes("Files")) { dragged++; drop.classList.add("on"); } });
addEventListener("dragleave", () => { dragged = Math.max(0, dragged - 1); if (!dragged) drop.classList.remove("on"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); dragged = 0; drop.classList.remove("on"); taken([...event.dataTransfer.files]); });

function renew() {
  window.htmx.ajax("GET", `/parts/clips${location.search}`, { source: "#results", target: "#results" });
}

// What is shown is looked up again, when what was changed is kept, and the place in the grid stays. An answer that is late, as
// something else is looked for, or clips were taken away, is none.
let refreshes = 0;
let staying = true;
async function refresh(stay = false) {
  staying &&= stay;
  if (!grid) return renew();
  const [mine, turn] = [grid, ++refreshes];
  const limit = Math.max(LISTED, grid.ids.length);
  let ids, taken;
  do {
    await arrived();
    taken = takenAway;
    ids = await listedAfter(mine, null, limit);
    if (mine !== grid || turn !== refreshes) return;
  } while (taken !== takenAway);
  const [here, before, whole] = [grid.id, new Set(grid.ids), grid.whole];
  if (!ids.length) return renew();
  grid.whole = ids.length < limit;
  grid.element.dataset.total = "";
  grid.fill(ids);
  counted(grid);
  // What came back is looked at; of a list that was not whole, what stands behind its last clip was there before.
  const listed = whole ? ids : ids.slice(0, ids.findLastIndex((id) => before.has(id)));
  grid.current = Math.max(0, ids.indexOf((staying ? undefined : listed.find((id) => !before.has(id))) ?? here));
  staying = true;
  await grid.renew(ids);
  if (loupe.open) drawLoupe();
  document.body.dispatchEvent(new CustomEvent("clips"));
}

// Clips that jobs make come in as they are made, unless somebody is looking further down, or has chosen some.
let newest = null;
document.getElementById("badge")?.addEventListener("htmx:afterSwap", ({ currentTarget }) => {
  const now = Number(currentTarget.querySelector("[data-newest]")?.dataset.newest ?? 0);
  const came = newest !== null && now > newest;
  newest = now;
  if (came && scrollY < 200 && !grid?.selected.size && !document.querySelector("dialog[open]")) refresh(true);
});

document.body.addEventListener("undone", () => refresh());
document.body.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id !== "results") return;
  const address = document.querySelector(".found").dataset.query;
  history.replaceState(null, "", address ? `/?${address}` : "/");
  open();
  document.body.dispatchEvent(new CustomEvent("clips"));
});
resize();
open();
