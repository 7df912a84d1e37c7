// The page of an audit: what was left out can be looked at, as far as the browser can play it; a source is erased.

import { api, t, toast } from "./app.js";

const dialog = document.getElementById("look");
const screen = dialog.querySelector(".screen");
const PICTURE = /\.(png|jpe?g|jpe|jfif|webp|avif|bmp|gif|apng)$/i;

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-look]");
  if (!button) return;
  const [what, file, start, end] = button.dataset.look.match(/^(.*?)(?: ([\d.]+)–([\d.]+) s)?$/s);
  const address = `/api/datasets/source?name=${encodeURIComponent(dialog.dataset.name)}&source=${encodeURIComponent(file)}`;
  const shown = PICTURE.test(file)
    ? Object.assign(new Image(), { src: address, alt: what })
    : Object.assign(document.createElement("video"), { src: start ? `${address}#t=${start},${end}` : address, controls: true, autoplay: true, muted: true, loop: true, playsInline: true });
  dialog.querySelector("#look-title").textContent = what;
  const note = dialog.querySelector(".note");
  note.hidden = true;
  shown.addEventListener("error", () => { note.hidden = false; shown.remove(); });
  screen.replaceChildren(shown);
  dialog.showModal();
});

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-erase]");
  if (!form) return;
  event.preventDefault();
  await api("POST", "/api/jobs/erase", { dataset: form.dataset.erase, source: form.dataset.source, typed: form.elements.typed.value });
  toast(t("in_queue"));
  document.getElementById("erasure").replaceChildren();
  document.body.dispatchEvent(new CustomEvent("jobs"));
});

dialog.addEventListener("close", () => screen.replaceChildren());
