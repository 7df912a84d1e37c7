// Pages of what is trained and measured: a new training, a run, an evaluation.

import { api, t, toast, toastLater } from "./app.js";
import { number } from "./controls.js";
import { play, still } from "./player.js";

// How long: minutes, or clips, as the interface takes them.
function amount(form) {
  const value = number(form, "amount");
  const unit = form.elements.unit.value;
  return unit === "clips" ? { clips: Math.max(1, Math.round(value)) } : { minutes: unit === "hours" ? value * 60 : value };
}

const resting = async (button, work) => {
  button.disabled = true;
  try { await work(); } finally { button.disabled = false; }
};
const changed = () => document.body.dispatchEvent(new CustomEvent("jobs"));

// A new training

const form = document.getElementById("training");
const knobs = form ? JSON.parse(form.dataset.knobs) : {}; // what differs from the preset

const preset = () => form.querySelector("[name=preset]:checked");

// A knob as it is written: a number, on or off, or a word.
function value(text) {
  if (text === "true" || text === "false") return text === "true";
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text.trim();
}

function count() {
  const names = Object.keys(knobs);
  form.querySelector("[data-changed]").textContent = names.length ? t("knobs_changed", { n: names.length }) : "";
  for (const input of form.querySelectorAll("[data-knob]")) input.closest(".knob").classList.toggle("changed", input.dataset.knob in knobs);
}

let shown = Promise.resolve(); // the knobs of the chosen preset, and those that were changed hold for it

async function showKnobs() {
  const place = document.getElementById("knobs");
  const before = place.dataset.preset;
  if (before === preset().value || !(document.getElementById("settings").open || Object.keys(knobs).length)) return;
  place.dataset.preset = preset().value;
  await htmx.ajax("GET", `/parts/knobs?preset=${encodeURIComponent(preset().value)}`, { target: place, swap: "innerHTML" });
  for (const input of place.querySelectorAll("[data-knob]")) {
    const given = knobs[input.dataset.knob];
    if (given === undefined) continue;
    input.value = String(given);
    if (input.value !== String(given)) delete knobs[input.dataset.knob]; // it is as this preset has it
  }
  // What a run differed in stays, though the form has no field for all of it; of another preset it would be refused.
  const lost = before === undefined ? [] : Object.keys(knobs).filter((name) => !place.querySelector(`[data-knob="${CSS.escape(name)}"]`));
  for (const name of lost) delete knobs[name];
  if (lost.length) toast(t("knobs_lost", { names: lost.join(", ") }));
  count();
  find();
}

function find() {
  const words = form.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const knob of form.querySelectorAll(".knob")) {
    const text = `${knob.querySelector("[data-knob]").dataset.knob} ${knob.textContent}`.toLowerCase();
    knob.hidden = !words.every((word) => text.includes(word));
  }
  for (const section of form.querySelectorAll(".group")) section.hidden = !section.querySelector(".knob:not([hidden])");
}

// Clips have the size of the data, whatever the preset's.
function fitted() {
  const [data, chosen] = [form.elements.data.selectedOptions[0].dataset, preset().dataset];
  const sizes = {};
  if (data.height && !chosen.crops) for (const side of ["height", "width"]) if (data[side] !== chosen[side]) sizes[`clip.${side}`] = Number(data[side]);
  return sizes;
}

async function request() {
  await shown;
  const data = form.elements.data.selectedOptions[0];
  // What suits the data best is chosen by footage, which looks at the lengths of the clips too.
  const chosen = preset().value === form.dataset.best && data.dataset.height && !form.dataset.from ? { preset: null, knobs } : { preset: preset().value, knobs: { ...fitted(), ...knobs } };
  return { data: data.value, run: form.elements.run.value.trim(), ...chosen, ...amount(form), device: form.elements.device.value, begin_with: form.elements.begin_with.value || null, guide: preset().dataset.guided ? form.elements.guide.value || null : null };
}

function named() {
  const input = form.elements.run;
  const taken = JSON.parse(form.dataset.runs);
  if (!input.dataset.own) {
    const stem = (form.dataset.from || `${form.elements.data.value}-${preset().value}`).split("/").pop().replace(/[^\p{L}\p{N}_ .-]/gu, "").slice(0, 60) || "run";
    let name = stem;
    for (let n = 2; taken.includes(name); n++) name = `${stem}-${n}`;
    input.value = name;
  }
  input.setCustomValidity(taken.includes(input.value.trim()) ? input.dataset.taken : "");
}

if (form) {
  const chosen = () => {
    form.querySelector("[data-guide]").hidden = !preset().dataset.guided;
    named();
    shown = showKnobs();
  };
  form.addEventListener("change", (event) => {
    if (event.target.dataset.reload !== undefined) {
      const address = new URL(location.href);
      address.searchParams.set("data", event.target.value);
      location.replace(address);
    } else if (event.target.name === "preset") chosen();
  });
  form.addEventListener("input", (event) => {
    const name = event.target.dataset.knob;
    if (name) {
      if (event.target.value.trim()) knobs[name] = value(event.target.value);
      else delete knobs[name];
      count();
    } else if (event.target.name === "find") find();
    else if (event.target.name === "run") { event.target.dataset.own = "yes"; named(); }
  });
  document.getElementById("settings").addEventListener("toggle", () => { shown = showKnobs(); });
  document.getElementById("measure").addEventListener("click", (event) => {
    if (!form.reportValidity()) return;
    resting(event.currentTarget, async () => {
      const job = await api("POST", "/api/jobs/plan", await request());
      await htmx.ajax("GET", `/parts/plan?job=${job.id}`, { target: "#plan", swap: "innerHTML" });
    });
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    resting(event.submitter, async () => {
      const job = await api("POST", "/api/jobs/train", await request());
      toastLater(t("in_queue"));
      location.href = `/training/run?name=${encodeURIComponent(job.request.run)}`;
    });
  });
  chosen();
  count();
}

// A run

const sheets = document.getElementById("sheets");

// The samples after so many clips, as a looping video.
function showSheet(names, at) {
  const [video, slider] = [sheets.querySelector("video"), sheets.querySelector("input")];
  sheets.hidden = !names.length;
  if (!names.length) return;
  slider.max = names.length - 1;
  slider.value = at;
  sheets.querySelector("[data-value]").textContent = t("sheet_clips", { n: Number(names[at]).toLocaleString(document.documentElement.lang) });
  slider.setAttribute("aria-valuetext", sheets.querySelector("[data-value]").textContent);
  const address = `/api/runs/sample?run=${encodeURIComponent(sheets.dataset.run)}&name=${encodeURIComponent(names[at])}.mp4`;
  if (video.getAttribute("src") === address) return;
  video.setAttribute("src", address);
  if (still()) video.controls = true;
  else play(video);
}

const known = () => JSON.parse(document.getElementById("state")?.dataset.sheets ?? "[]");

if (sheets) {
  const slider = sheets.querySelector("input");
  const follow = () => {
    const names = known();
    showSheet(names, Number(slider.value) >= Number(slider.max) ? names.length - 1 : Number(slider.value));
  };
  slider.addEventListener("input", () => showSheet(known(), Number(slider.value)));
  document.body.addEventListener("htmx:afterSettle", (event) => { if (event.target.id === "run") follow(); });
  follow();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-go-on]");
  if (button) {
    resting(button, async () => {
      await api("POST", `/api/runs/continue?run=${encodeURIComponent(button.dataset.goOn)}`, {});
      toast(t("in_queue"));
      changed();
    });
  }
});

document.querySelector("[data-continue]")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const more = event.target;
  resting(event.submitter, async () => {
    await api("POST", `/api/runs/continue?run=${encodeURIComponent(more.dataset.continue)}`, { ...amount(more), device: more.elements.device.value });
    toast(t("in_queue"));
    changed();
  });
});

// An evaluation

const evaluation = document.getElementById("evaluation");

if (evaluation) {
  const { made, real } = evaluation.elements;
  const suit = () => { const origin = made.selectedOptions[0]?.dataset.origin; if (origin) real.value = origin; };
  made.addEventListener("change", suit);
  if (!new URL(location.href).searchParams.get("real")) suit();
  evaluation.addEventListener("submit", (event) => {
    event.preventDefault();
    const metrics = new FormData(evaluation).getAll("metric");
    resting(event.submitter, async () => {
      const options = { clips: number(evaluation, "clips"), ...(metrics.length ? { metrics: metrics.join(",") } : {}) };
      const models = [made.value, evaluation.elements.other.value].filter((name, place, all) => name && all.indexOf(name) === place);
      await api("POST", "/api/jobs/evaluate", { made: models, real: real.value, options });
      toastLater(t("in_queue"));
      location.href = "/reports";
    });
  });
}

// What a model tells of its training clips

const privacy = document.getElementById("privacy");

if (privacy) {
  const { model, data } = privacy.elements;
  const suit = () => { const origin = model.selectedOptions[0]?.dataset.origin; if (origin) data.value = origin; };
  model.addEventListener("change", suit);
  suit();
  privacy.addEventListener("submit", (event) => {
    event.preventDefault();
    resting(event.submitter, async () => {
      await api("POST", "/api/jobs/privacy", { model: model.value, data: data.value, clips: number(privacy, "clips") });
      toastLater(t("in_queue"));
      location.href = "/reports";
    });
  });
}
