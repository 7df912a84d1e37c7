// The page that has clips generated.

import { api, t, toast } from "./app.js";
import { number, prepare, videoOptions } from "./controls.js";

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

if (form) {
  prepare(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const tags = form.elements.tags.value.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean);
    const best = form.elements.best?.checked ? { best: number(form, "count"), of: number(form, "of"), taste: "library" } : {};
    await queue(form, "generate", { ...best, model: form.elements.model.value, count: number(form, "count"), seconds: number(form, "seconds"), to_seed: number(form, "to_seed"), novel: form.elements.novel.checked ? "trained-on" : null, tags, ...videoOptions(form) });
  });
}
if (between) {
  between.addEventListener("submit", async (event) => {
    event.preventDefault();
    await queue(between, "between", { model: between.elements.model.value, a: number(between, "a"), b: number(between, "b"), steps: number(between, "steps"), seconds: number(between, "seconds") });
  });
}
