// Clips side by side: they play together, each from its beginning to the end of the longest.

import { api, drawStars, drawVerdict } from "./app.js";
import { drawSound, moves, play as begin, preview, setSound, still } from "./player.js";

const figures = [...document.querySelectorAll(".beside figure")];
let videos = [...document.querySelectorAll(".beside video")];
const button = document.getElementById("together");
const scrub = document.getElementById("scrub");
const longest = () => Math.max(0.1, ...videos.map((video) => video.duration || 0));
let held = false;

function line() {
  if (!videos.length) return;
  const main = videos.reduce((a, b) => ((b.duration || 0) > (a.duration || 0) ? b : a));
  if (!main.paused) {
    scrub.value = (1000 * main.currentTime) / longest();
    for (const video of videos) if (video !== main && video.duration && Math.abs(video.currentTime - (main.currentTime % video.duration)) > 0.12) video.currentTime = main.currentTime % video.duration;
  }
}

function play(on) {
  button.setAttribute("aria-pressed", String(on));
  for (const video of videos) on ? begin(video) : video.pause();
  if (on && still()) for (const figure of figures) moves(figure);
}

for (const video of videos) {
  const unplayable = () => { videos = videos.filter((other) => other !== video); preview(video); };
  if (video.error) unplayable();
  else video.addEventListener("error", unplayable);
}

if (button) {
  button.addEventListener("click", () => play(button.getAttribute("aria-pressed") !== "true"));
  scrub.addEventListener("input", () => { if (!held) play(false); held = true; for (const video of videos) if (video.duration) video.currentTime = ((scrub.value / 1000) * longest()) % video.duration; });
  scrub.addEventListener("change", () => { held = false; });
  setInterval(line, 100);
  if (!still()) play(true);
}

// One clip is heard at a time.
function listen(figure) {
  for (const other of figures) {
    const [video, sound] = [other.querySelector("video"), other.querySelector("[data-sound]")];
    if (!video || !sound) continue;
    if (other !== figure) video.muted = true;
    else if (video.muted) setSound(video, true);
    else video.muted = true;
    drawSound(sound, video.muted);
  }
}

for (const figure of figures) {
  figure.addEventListener("click", async (event) => {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    if (pressed.dataset.sound !== undefined) return listen(figure);
    const { star, verdict } = pressed.dataset;
    const changes = star ? { stars: Number(star) === Number(figure.dataset.stars) ? 0 : Number(star) } : { verdict: figure.dataset.verdict === verdict ? "undecided" : verdict };
    const entry = await api("PATCH", `/api/clips/${figure.dataset.id}`, changes);
    Object.assign(figure.dataset, { stars: entry.stars, verdict: entry.verdict });
    drawStars(figure, entry.stars);
    drawVerdict(figure, entry.verdict);
  });
}
document.addEventListener("keydown", (event) => { if (button && event.key.toLowerCase() === "p" && !event.ctrlKey) button.click(); });
