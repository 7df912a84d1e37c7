// A clip's page.

import { api, drawStars, drawVerdict, intoAlbum, judged, t, toast, typing } from "./app.js";
import { Player } from "./player.js";

const page = document.querySelector(".clip-page");
const id = Number(page.dataset.id);
const player = new Player(page.querySelector(".player"));

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
  if (button.dataset.bin !== undefined) { await api("POST", "/api/clips/bin", { ids: [id] }); location.href = "/"; }
  if (button.dataset.restore !== undefined) { await api("POST", "/api/clips/restore", { ids: [id] }); location.reload(); }
});

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
  else if (!player.video) return;
  else if ((event.key === "," || (event.key === "ArrowLeft" && event.target.type !== "range")) && !event.altKey) player.step(-1);
  else if ((event.key === "." || (event.key === "ArrowRight" && event.target.type !== "range")) && !event.altKey) player.step(1);
  else if (event.key.toLowerCase() === "p" || (event.key === " " && !event.target.closest("button, a"))) { event.preventDefault(); player.toggle(); }
});
document.body.addEventListener("undone", () => location.reload());
if (location.hash === "#similar") document.querySelector(".strip")?.scrollIntoView();
