// The page that has clips generated.

import { api, ask, t, toast } from "./app.js";
import { followed, number, prepare, told, videoOptions, written } from "./controls.js";
import { Preview } from "./preview.js";

const form = document.getElementById("generate");
const between = document.getElementById("between");

// Put a job into the queue; its button rests meanwhile.
async function queue(form, kind, request) {
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try {
    await api("POST", `/api/jobs/${kind}`, request);
    toast(t("in_queue"));
  } finally {
    button.disabled = false;
  }
  document.body.dispatchEvent(new CustomEvent("jobs"));
}

// The form's settings as an address holds them, which is how presets keep them.
function settings() {
  const { seed, label, text, sliders, timing } = videoOptions(form);
  const held = { model: form.elements.model.value, seed, label, text, to_text: told(form, "to_text"), sliders: written(sliders), ...timing, ...followed(form) };
  for (const name of ["count", "seconds", "to_seed", "of"]) held[name] = number(form, name);
  for (const name of ["novel", "best"]) held[name] = form.elements[name]?.checked ? "on" : "";
  held.tags = form.elements.tags.value.trim();
  return Object.fromEntries(Object.entries(held).filter(([, value]) => value !== null && value !== "").map(([name, value]) => [name, String(value)]));
}

const presets = document.getElementById("presets");

async function keep(what) {
  if (what === "delete") {
    await api("DELETE", `/api/presets/${encodeURIComponent(presets.value)}`);
    toast(t("deleted", { name: presets.value }));
    presets.selectedOptions[0].remove();
    presets.dispatchEvent(new Event("change"));
    return;
  }
  const name = await ask(t("preset_save"), { field: t("name"), value: presets.value });
  if (!name) return;
  const values = settings();
  await api("PUT", `/api/presets/${encodeURIComponent(name)}`, { values });
  const option = [...presets.options].find((known) => known.value === name) ?? presets.appendChild(new Option(name, name));
  option.dataset.values = JSON.stringify(values);
  presets.value = name;
  document.querySelector("[data-preset=delete]").disabled = false;
  toast(t("saved"));
}

if (presets) {
  const chosen = new URLSearchParams(location.search).get("preset");
  if ([...presets.options].some((option) => option.value === chosen)) presets.value = chosen;
  document.querySelector("[data-preset=delete]").disabled = !presets.value;
  presets.addEventListener("change", () => {
    document.querySelector("[data-preset=delete]").disabled = !presets.value;
    if (presets.value) location.href = `/generate?${new URLSearchParams({ ...JSON.parse(presets.selectedOptions[0].dataset.values), preset: presets.value })}`;
  });
  document.querySelector(".presets").addEventListener("click", (event) => { const button = event.target.closest("[data-preset]"); if (button) keep(button.dataset.preset); });
}

if (form) {
  prepare(form);
  new Preview(form, document.getElementById("preview"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const tags = form.elements.tags.value.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean);
    const best = form.elements.best?.checked ? { best: number(form, "count"), of: number(form, "of"), taste: "library" } : {};
    await queue(form, "generate", { ...best, model: form.elements.model.value, count: number(form, "count"), seconds: number(form, "seconds"), to_seed: number(form, "to_seed"), to_text: told(form, "to_text"), novel: form.elements.novel.checked ? "trained-on" : null, tags, ...followed(form), ...videoOptions(form) });
  });
  // A clip that follows sound is as long as it, unless a length is given.
  for (const name of ["sent", "audio"]) form.elements[name].addEventListener("change", () => { form.elements.seconds.value = followed(form).audio ? "" : form.elements.seconds.defaultValue; });
}
if (between) {
  between.addEventListener("submit", async (event) => {
    event.preventDefault();
    await queue(between, "between", { model: between.elements.model.value, a: number(between, "a"), b: number(between, "b"), steps: number(between, "steps"), seconds: number(between, "seconds") });
  });
}
