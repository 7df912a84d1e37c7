// Forms that say what a model is to make.

const MOTION = ["truncation", "strength", "slow", "motion_seed", "loop", "drift"];

export function number(form, name) {
  const value = form.elements[name]?.value.trim();
  return value ? Number(value) : null;
}

// Seed and motion as the interface takes them; what a model cannot do is left out.
export function wish(form) {
  const motion = {};
  if (streams(form)) for (const name of MOTION) { const value = number(form, name); if (value !== null && !(name === "slow" && value === 1)) motion[name] = value; }
  return { seed: number(form, "seed") ?? 0, label: mixture(form), motion };
}

export const streams = (form) => Boolean(form.elements.model.selectedOptions[0]?.dataset.streams);

function mixture(form) {
  const parts = [...form.querySelectorAll("#labels input")].filter((input) => Number(input.value) > 0);
  if (!parts.length) return null;
  return parts.length === 1 ? parts[0].dataset.label : parts.map((input) => `${input.dataset.label}:${input.value}`).join("+");
}

// A slider for each label of the chosen model.
function labels(form) {
  const place = form.querySelector("#labels");
  const names = JSON.parse(form.elements.model.selectedOptions[0]?.dataset.labels || "[]");
  place.hidden = !names.length;
  const given = place.dataset.given;
  place.querySelector("div").replaceChildren(...names.map((name) => {
    const label = Object.assign(document.createElement("label"), { className: "stack slider" });
    const input = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1, step: 0.05, value: name === given ? 1 : 0 });
    input.dataset.label = name;
    const output = Object.assign(document.createElement("span"), { textContent: input.value });
    output.dataset.value = "";
    label.append(name, " ", output, input);
    return label;
  }));
  form.querySelector("#motion").hidden = !streams(form);
}

export function prepare(form) {
  labels(form);
  form.elements.model.addEventListener("change", () => labels(form));
  form.addEventListener("input", (event) => { const output = event.target.closest(".slider")?.querySelector("[data-value]"); if (output) output.textContent = event.target.value; });
  form.querySelector("[data-dice]").addEventListener("click", () => {
    form.elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000000;
    form.elements.seed.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
