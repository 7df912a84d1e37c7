// The page of figures that speak: who speaks, what is said, and the video, with its sound, when it is there.

import { api, t, toast } from "./app.js";
import { number, sends } from "./controls.js";

const LOOKED = 500; // ms between two looks at the job
const form = document.getElementById("talk");
const spoken = document.getElementById("spoken");
const file = document.getElementById("still");
let sending = null;

const way = () => form.querySelector("[name=way]:checked").value;
const figures = () => [...form.querySelectorAll(".figure")].filter((figure) => !figure.hidden && figure.querySelector("[name=still]").value);

// What belongs to the chosen way is shown; what is hidden is not asked for.
function draw() {
  for (const part of form.querySelectorAll("[data-way]")) part.hidden = part.dataset.way !== way();
  form.elements.text.required = way() === "text";
  form.elements.script.required = way() === "script";
  for (const field of form.querySelectorAll(".figure [name=name]")) field.required = way() === "script" && field.closest(".figure").querySelector("[name=still]").value !== "";
}

function show(figure) {
  const [picture, id] = [figure.querySelector("img"), figure.querySelector("[name=still]").value];
  picture.hidden = !id;
  if (id) picture.src = `/api/clips/${id}/thumbnail`;
}

// A picture of this computer becomes a clip of the library, and the figure's still.
async function send() {
  const [one] = file.files;
  file.value = "";
  if (!one) return;
  toast(t("uploading", { name: one.name }));
  try {
    const upload = await api("POST", `/api/uploads?name=${encodeURIComponent(one.name)}`, one);
    const [id] = [...upload.added, ...upload.known];
    if (!id) return;
    sending.querySelector("[name=still]").value = id;
    show(sending);
    draw();
  } catch { /* it was shown */ }
}

function asked() {
  const said = { audio: () => form.elements.sent.value || form.elements.audio.value, text: () => form.elements.text.value, script: () => form.elements.script.value };
  return {
    model: form.elements.model.value,
    figures: figures().map((figure) => ({ clip: Number(figure.querySelector("[name=still]").value), name: way() === "script" ? figure.querySelector("[name=name]").value.trim() : "" })),
    [way()]: said[way()](),
    begin: way() === "audio" ? number(form, "begin") ?? 0 : 0,
    seed: number(form, "seed") ?? 0,
    fit: form.elements.fit.value,
    tags: form.elements.tags.value.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean),
  };
}

// Wait for a job, and play what it has made.
async function follow(id) {
  let job;
  do {
    await new Promise((resolve) => { setTimeout(resolve, LOOKED); });
    job = await api("GET", `/api/jobs/${id}`, undefined, { quiet: true });
  } while (job.state === "queued" || job.state === "running");
  document.body.dispatchEvent(new CustomEvent("jobs"));
  const [clip] = job.result?.clips ?? [];
  if (job.state !== "done" || !clip) return;
  const video = spoken.querySelector("video");
  spoken.querySelector("a").href = `/clip/${clip}`;
  spoken.hidden = false;
  video.src = `/api/clips/${clip}/file`;
  video.play().catch(() => {}); // who has not touched the page yet starts it by hand
}

if (form) {
  sends(form);
  draw();
  for (const figure of form.querySelectorAll(".figure")) {
    show(figure);
    figure.addEventListener("change", () => { show(figure); draw(); });
    figure.querySelector("[data-send-still]").addEventListener("click", () => { sending = figure; file.click(); });
  }
  file.addEventListener("change", send);
  for (const field of form.querySelectorAll("[name=way]")) field.addEventListener("change", draw);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const request = asked();
    if (!request[way()]) { toast(t("talk_nothing"), true); form.elements.sent.focus(); return; }
    const button = form.querySelector("button.primary");
    button.disabled = true;
    try {
      const job = await api("POST", "/api/jobs/talk", request);
      toast(t("in_queue"));
      follow(job.id).catch(() => {});
    } finally {
      button.disabled = false;
    }
    document.body.dispatchEvent(new CustomEvent("jobs"));
  });
}
