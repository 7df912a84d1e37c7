// A clip's page.

import { api, drawStars, drawVerdict, intoAlbum, judged, removed, t, toast, toastLater, typing } from "./app.js";
import { makeMore } from "./more.js";
import { Player } from "./player.js";

const page = document.querySelector(".clip-page");
const id = Number(page.dataset.id);
const player = new Player(page.querySelector(".player"));
const part = makeMore(player);
const way = (name) => document.querySelector(`.ways [data-way=${name}]`); // to the clip before or after, or back to all of them

async function change(changes) {
  const entry = await api("PATCH", `/api/clips/${id}`, changes);
  Object.assign(page.dataset, { stars: entry.stars, verdict: entry.verdict });
  drawStars(page, entry.stars);
  drawVerdict(page, entry.verdict);
  return entry;
}

page.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { star, verdict } = button.dataset;
  if (star) await change({ stars: Number(star) === Number(page.dataset.stars) ? 0 : Number(star) });
  if (verdict) await change({ verdict: page.dataset.verdict === verdict ? "undecided" : verdict });
  if (button.dataset.album !== undefined) await intoAlbum([id]);
  if (button.dataset.bin !== undefined) await bin();
  if (button.dataset.restore !== undefined) { await api("POST", "/api/clips/restore", { ids: [id] }); toastLater(t("restored", { n: 1 }), true); location.href = location.pathname; }
});

// Into the bin, and on to the next clip; the page that follows says so.
async function bin() {
  const gone = await removed("/api/clips/bin", [id]);
  if (!gone) return;
  toastLater(t("binned", { n: gone.clips }), true);
  const beside = gone.clips > 1 ? null : way("next") ?? way("previous"); // it may have gone along
  location.href = (beside ?? way("back")).href;
}

const saved = async (changes) => { await change(changes); toast(t("saved")); };
document.getElementById("tags").addEventListener("change", (event) => saved({ tags: event.target.value.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean) }));
document.getElementById("notes").addEventListener("change", (event) => saved({ notes: event.target.value }));
const title = document.getElementById("title");
let was = title.textContent;
title.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); title.blur(); } });
title.addEventListener("blur", async () => { const now = title.textContent.trim(); if (now && now !== was) { was = (await change({ title: now })).title; toast(t("saved")); } title.textContent = was; });

document.addEventListener("keydown", async (event) => {
  if (typing(event) || document.querySelector("dialog[open]")) return;
  const changes = judged(event, page.dataset);
  if (changes) await change(changes);
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (event.key === "[") way("previous")?.click();
  else if (event.key === "]") way("next")?.click();
  else if (event.key === "Escape" && !document.fullscreenElement) way("back").click();
  else if (event.key === "Delete" && document.querySelector("[data-bin]")) await bin();
  else if (!player.video) return;
  else if (event.key.toLowerCase() === "m") player.toggleSound();
  else if (event.key.toLowerCase() === "f") player.toggleFull();
  else if (part && ["i", "o"].includes(event.key.toLowerCase())) part.set(event.key.toLowerCase() === "i" ? "first" : "last");
  else if (event.key === "," || (event.key === "ArrowLeft" && event.target.type !== "range")) player.step(-1);
  else if (event.key === "." || (event.key === "ArrowRight" && event.target.type !== "range")) player.step(1);
  else if (event.key.toLowerCase() === "p" || (event.key === " " && !event.target.closest("button, a"))) { event.preventDefault(); player.toggle(); }
});
document.body.addEventListener("undone", (event) => { toastLater(event.detail); location.reload(); });
if (location.hash === "#similar") document.querySelector(".strip")?.scrollIntoView();
