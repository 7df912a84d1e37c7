// Forms that say what a model is to make.

import { api, ask, t, toast } from "./app.js";

const MOST_SLIDERS = 8;
const MOTION = ["truncation", "strength", "slow", "motion_seed", "loop", "drift"];

export function number(form, name) {
  const value = form.elements[name]?.value.trim();
  return value ? Number(value) : null;
}

// Seed and motion as the interface takes them; what a model cannot do is left out.
export function videoOptions(form) {
  const timing = {};
  if (streams(form)) for (const name of MOTION) { const value = number(form, name); if (value !== null && !(name === "slow" && value === 1)) timing[name] = value; }
  const sliders = Object.fromEntries([...form.querySelectorAll("#sliders input")].filter((input) => Number(input.value)).map((input) => [input.dataset.slider, Number(input.value)]));
  return { seed: number(form, "seed") ?? 0, label: mixture(form), text: told(form, "text"), sliders, timing };
}

// What is followed: a sound that was sent, or that of a clip of the library, and how.
export function followed(form) {
  const { sent, audio, react, bpm_lock } = form.elements;
  const heard = sent.value || audio.value;
  return heard ? { audio: heard, react: react.value.trim() || null, bpm_lock: bpm_lock.value || null } : {};
}

// Send a sound, and choose it.
export function sends(form) {
  const [field, button, file] = [form.elements.sent, form.querySelector("[data-send-sound]"), form.querySelector("#sound input[type=file]")];
  button.addEventListener("click", () => file.click());
  file.addEventListener("change", async () => {
    const [one] = file.files;
    file.value = "";
    if (!one) return;
    button.disabled = true;
    toast(t("uploading", { name: one.name }));
    try {
      const sound = await api("POST", `/api/sounds?name=${encodeURIComponent(one.name)}`, one);
      const known = [...field.options].find((option) => option.value === `sound:${sound.id}`);
      const minutes = `${Math.floor(sound.seconds / 60)}:${String(Math.floor(sound.seconds % 60)).padStart(2, "0")}`;
      const tempo = sound.tempo ? ` · ${Math.round(sound.tempo)} ${t("sound_bpm")}` : "";
      field.value = (known ?? field.appendChild(new Option(`${sound.name} · ${minutes}${tempo}`, `sound:${sound.id}`))).value;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    } catch { /* api has said what is wrong */ } finally { button.disabled = false; }
  });
}

// Sliders as an address holds them: 1=2,3=-1.5.
export const written = (sliders) => Object.entries(sliders).map(([n, value]) => `${n}=${value}`).join(",");

export const streams = (form) => Boolean(form.elements.model.selectedOptions[0]?.dataset.streams);

// What a model that reads text is told to show; nothing for one that does not, or where nothing is said.
export const told = (form, name) => (form.elements.model.selectedOptions[0]?.dataset.text && form.elements[name]?.value.trim()) || null;

function mixture(form) {
  const parts = [...form.querySelectorAll("#labels input")].filter((input) => Number(input.value) > 0);
  if (!parts.length) return null;
  return parts.length === 1 ? parts[0].dataset.label : parts.map((input) => `${input.dataset.label}:${input.value}`).join("+");
}

function ranged(text, values) {
  const label = Object.assign(document.createElement("label"), { className: "stack slider" });
  const input = Object.assign(document.createElement("input"), { type: "range", ...values });
  const output = Object.assign(document.createElement("span"), { textContent: input.value });
  output.dataset.value = "";
  label.append(text, " ", output, input);
  return [label, input];
}

// The first latent sliders of the chosen model.
function latents(form) {
  const place = form.querySelector("#sliders");
  const positions = Object.fromEntries(place.dataset.given.split(",").map((part) => part.split("=")));
  const count = Math.min(MOST_SLIDERS, Number(form.elements.model.selectedOptions[0]?.dataset.sliders || 0));
  place.hidden = !count;
  place.querySelector("div").replaceChildren(...Array.from({ length: count }, (_, i) => {
    const value = Number(positions[i + 1] ?? 0);
    const [label, input] = ranged(t("slider", { n: i + 1 }), { min: -5, max: 5, step: (value * 10) % 1 ? "any" : 0.1, value });
    input.dataset.slider = i + 1;
    const row = document.createElement("div");
    row.className = "latent";
    const rename = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: t("name_it") });
    rename.dataset.rename = i + 1;
    row.append(label, rename);
    return row;
  }));
  if (count) name(form, weights(form), api("GET", `/api/sliders/${weights(form)}`, undefined, { quiet: true }));
}

const weights = (form) => form.elements.model.selectedOptions[0]?.dataset.weights;

// What somebody has called the sliders of the chosen model.
async function name(form, model, asked) {
  const names = await asked.catch(() => ({}));
  if (model !== weights(form)) return;
  for (const input of form.querySelectorAll("[data-slider]")) {
    const n = Number(input.dataset.slider);
    input.parentNode.firstChild.textContent = names[n] ?? t("slider", { n });
    input.closest(".latent").querySelector("[data-rename]").setAttribute("aria-label", `${t("name_it")}: ${names[n] ?? t("slider", { n })}`);
  }
}

async function rename(form, button) {
  const n = Number(button.dataset.rename);
  const now = form.querySelector(`[data-slider="${n}"]`).parentNode.firstChild.textContent;
  const given = await ask(t("slider", { n }), { field: t("name"), value: now === t("slider", { n }) ? "" : now, empty: true });
  if (given !== null) await name(form, weights(form), api("PUT", `/api/sliders/${weights(form)}`, { number: n, name: given }));
}

// A slider for each label of the chosen model.
function labels(form) {
  const place = form.querySelector("#labels");
  const names = JSON.parse(form.elements.model.selectedOptions[0]?.dataset.labels || "[]");
  place.hidden = !names.length;
  const shares = mixed(place.dataset.given, names);
  place.querySelector("div").replaceChildren(...names.map((name) => {
    const [label, input] = ranged(name, { min: 0, max: 1, step: 0.05, value: shares[name] ?? 0 });
    input.dataset.label = name;
    return label;
  }));
  form.querySelector("#motion").hidden = !streams(form);
  form.querySelector("#told").hidden = !form.elements.model.selectedOptions[0]?.dataset.text;
  latents(form);
}

// The shares of labels that a text means: a label, or a+b, or a:0.8+b:0.2.
function mixed(text, names) {
  if (names.includes(text)) return { [text]: 1 };
  return Object.fromEntries(text.split("+").map((part) => {
    const cut = names.includes(part) ? -1 : part.lastIndexOf(":");
    return cut < 0 ? [part, 1] : [part.slice(0, cut), Number(part.slice(cut + 1))];
  }));
}

export function prepare(form) {
  sends(form);
  labels(form);
  form.elements.model.addEventListener("change", () => labels(form));
  form.addEventListener("input", (event) => { const output = event.target.closest(".slider")?.querySelector("[data-value]"); if (output) output.textContent = event.target.value; });
  form.addEventListener("click", (event) => { const button = event.target.closest("[data-rename]"); if (button) rename(form, button); });
  form.querySelector("[data-level]").addEventListener("click", () => {
    for (const input of form.querySelectorAll("#sliders input")) {
      input.value = 0;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });
  form.querySelector("[data-dice]").addEventListener("click", () => {
    form.elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
    form.elements.seed.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
