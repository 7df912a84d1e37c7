// An endless video: fragments of MP4 come over one connection and go into a Media Source, which is kept short.

import { api, message, t } from "./app.js";
import { followed, prepare, videoOptions, written } from "./controls.js";

const BEHIND = 0.6; // seconds that the picture may lag behind what has come
const LEAD = 0.08; // seconds it is set behind then
const KEPT = 8; // seconds that are kept

const form = document.getElementById("controls");
const video = document.getElementById("live");
const heard = document.getElementById("heard");
const state = document.getElementById("state");
const Source = window.ManagedMediaSource ?? window.MediaSource;
let current = null;

const asked = () => ({ ...videoOptions(form), ...followed(form) });
const APART = 0.12; // seconds that sound and picture may be apart

// The sound that the stream follows, beside the picture: it begins when the stream says so, in seconds of the video.
function hear(entry) {
  const { audio } = followed(form);
  const begins = entry?.heard ?? null;
  if (!audio || begins === null) { heard.pause(); heard.removeAttribute("src"); return; }
  const address = audio.startsWith("sound:") ? `/api/sounds/${audio.slice(6)}/file` : `/api/clips/${audio}/file`;
  if (!heard.src.endsWith(address)) heard.src = address;
  const at = video.currentTime - begins;
  if (at < 0 || video.paused || (heard.duration && at >= heard.duration)) { heard.pause(); return; }
  if (Math.abs(heard.currentTime - at) > APART) heard.currentTime = at;
  if (heard.paused) heard.play().catch(() => {});
}

async function start() {
  stop();
  if (!Source) { state.textContent = t("live_unsupported"); return; }
  const mine = { ended: false, abort: new AbortController(), change: 0 };
  current = mine;
  draw();
  state.textContent = t("live_loading");
  try {
    mine.entry = await api("POST", "/api/live", { model: form.elements.model.value, ...asked() });
    if (mine.ended) return await api("DELETE", `/api/live/${mine.entry.id}`, undefined, { quiet: true });
    const source = new Source();
    video.disableRemotePlayback = true;
    video.src = URL.createObjectURL(source);
    await new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
    const buffer = source.addSourceBuffer('video/mp4; codecs="avc1.640028"');
    const answer = await fetch(`/api/live/${mine.entry.id}/video`, { signal: mine.abort.signal });
    watch(mine);
    const reader = answer.body.getReader();
    while (!mine.ended) {
      const { done, value } = await reader.read();
      if (done) break;
      await append(buffer, value);
      keepUp(buffer);
    }
  } catch (error) {
    if (!mine.ended) state.textContent = error.status ? error.message : t("live_broken");
  }
  if (current === mine) { await tell(mine); stop(); }
}

async function append(buffer, value) {
  buffer.appendBuffer(value);
  await new Promise((resolve) => buffer.addEventListener("updateend", resolve, { once: true }));
  const { buffered } = buffer;
  if (buffered.length && buffered.end(buffered.length - 1) - buffered.start(0) > 3 * KEPT) {
    buffer.remove(0, buffered.end(buffered.length - 1) - KEPT);
    await new Promise((resolve) => buffer.addEventListener("updateend", resolve, { once: true }));
  }
}

function keepUp(buffer) {
  const { buffered } = buffer;
  if (!buffered.length) return;
  const end = buffered.end(buffered.length - 1);
  if (end - video.currentTime > BEHIND || video.currentTime < buffered.start(0)) video.currentTime = Math.max(buffered.start(0), end - LEAD);
  video.playbackRate = end - video.currentTime > 0.25 ? 1.1 : 1;
  if (video.paused) video.play().catch(() => {});
}

async function tell(mine) {
  try {
    const entry = await api("GET", `/api/live/${mine.entry.id}`, undefined, { quiet: true });
    state.textContent = entry.problem ? message(entry.problem) : (entry.state === "loading" ? t("live_loading") : entry.state === "ended" ? t("live_ended") : t("live_rate", { rate: entry.rate.toFixed(1) }));
    state.dataset.change = entry.change;
    hear(entry);
  } catch { state.textContent = t("live_ended"); }
}

async function watch(mine) {
  while (!mine.ended) { await tell(mine); await new Promise((resolve) => setTimeout(resolve, 1000)); }
}

function stop() {
  if (!current) return;
  const old = current;
  old.ended = true;
  current = null;
  old.abort.abort();
  hear(null);
  if (old.entry) api("DELETE", `/api/live/${old.entry.id}`, undefined, { quiet: true, keepalive: true }).catch(() => {});
  draw();
}

function draw() {
  document.getElementById("stop").disabled = !current;
  document.getElementById("start").disabled = Boolean(current);
}

let waiting = 0;
function changed(event) {
  const { seed, label, text, sliders, timing } = videoOptions(form);
  document.getElementById("keep").href = `/generate?model=${encodeURIComponent(form.elements.model.value)}&seed=${seed}${label ? `&label=${encodeURIComponent(label)}` : ""}${text ? `&text=${encodeURIComponent(text)}` : ""}${Object.keys(sliders).length ? `&sliders=${written(sliders)}` : ""}${Object.entries(timing).map(([name, value]) => `&${name}=${value}`).join("")}`;
  if (!current?.entry) return;
  if (event.target.name === "model") return void start();
  clearTimeout(waiting);
  waiting = setTimeout(() => current?.entry && api("PATCH", `/api/live/${current.entry.id}`, asked()).catch(() => {}), 60);
}

if (form) {
  prepare(form);
  form.addEventListener("submit", (event) => { event.preventDefault(); if (!current) start(); });
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  document.getElementById("stop").addEventListener("click", () => { stop(); state.textContent = t("live_ended"); });
  addEventListener("pagehide", stop);
}
