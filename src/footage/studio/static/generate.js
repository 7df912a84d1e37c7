// The page that has clips generated.

import { api } from "./app.js";
import { number, prepare, videoOptions } from "./controls.js";

const form = document.getElementById("generate");
const between = document.getElementById("between");
const refreshJobs = () => document.body.dispatchEvent(new CustomEvent("jobs"));

if (form) {
  prepare(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const tags = form.elements.tags.value.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean);
    await api("POST", "/api/jobs/generate", { model: form.elements.model.value, count: number(form, "count"), seconds: number(form, "seconds"), to_seed: number(form, "to_seed"), novel: form.elements.novel.checked ? "trained-on" : null, tags, ...videoOptions(form) });
    refreshJobs();
  });
  between.addEventListener("submit", async (event) => {
    event.preventDefault();
    await api("POST", "/api/jobs/between", { model: between.elements.model.value, a: number(between, "a"), b: number(between, "b"), steps: number(between, "steps"), seconds: number(between, "seconds") });
    refreshJobs();
  });
}
