// What is made of a clip on its page: a form for each verb, and where a part of it begins and ends.

import { api, t, toast } from "./app.js";

const place = document.getElementById("more");
const id = Number(document.querySelector(".clip-page").dataset.id);

// What belongs to the chosen model is shown: what it makes, and the fields that it knows.
function suit(form) {
  const chosen = form.elements.model?.selectedOptions[0];
  if (!chosen) return;
  form.querySelector("[data-result]").textContent = chosen.dataset.makes;
  if (form.elements.frames) form.elements.frames.placeholder = chosen.dataset.frames;
  for (const part of form.querySelectorAll("[data-if]")) {
    part.hidden = !(part.dataset.if in chosen.dataset);
    for (const field of part.querySelectorAll("input, textarea")) field.disabled = part.hidden;
  }
}

// The values of a form as the interface takes them: what is empty is left out, frames are counted from 0.
function values(form) {
  const asked = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled || (field.type !== "checkbox" && !field.value.trim())) continue;
    asked[field.name] = field.type === "checkbox" ? field.checked : field.type === "number" ? Number(field.value) : field.value;
  }
  const { clips, ...rest } = asked;
  if (form.dataset.make === "join") return { ...rest, clips: [id, ...clips.match(/\d+/g).map(Number)] };
  if (form.dataset.make === "between") return { ...rest, a: id };
  if (form.dataset.make === "trim") return { clip: id, first: asked.first - 1, last: asked.last - 1 };
  return { ...rest, clip: id };
}

async function submit(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button.primary");
  button.disabled = true;
  try {
    await api("POST", `/api/jobs/${form.dataset.make}`, values(form));
    toast(t("in_queue"));
  } finally {
    button.disabled = false;
  }
  document.body.dispatchEvent(new CustomEvent("jobs"));
}

// The part of a clip that is to become one of its own, by the frame that the player shows.
class Part {
  constructor(player) {
    this.player = player;
    this.playing = false;
    player.video?.addEventListener("timeupdate", () => this.keep());
  }

  get form() {
    return place.querySelector("[data-make=trim]");
  }

  get ends() {
    const { first, last } = this.form.elements;
    return [Number(first.value) - 1, Number(last.value) - 1];
  }

  set(name) {
    const form = this.form;
    if (!form || !this.player.video) return;
    form.closest("details").open = true;
    form.elements[name].value = this.player.frame + 1;
    const [first, last] = this.ends;
    if (first > last) form.elements[name === "first" ? "last" : "first"].value = this.player.frame + 1;
    this.draw();
    toast(`${t("first_frame")} ${form.elements.first.value} ${t("last_frame").toLowerCase()} ${form.elements.last.value}`);
  }

  // Where the part lies on the scrubber.
  draw() {
    const scrub = this.player.scrub;
    if (!scrub || !this.form) return;
    const [first, last] = this.ends;
    const most = Math.max(1, this.player.frames - 1);
    const part = (frame) => `${(100 * Math.min(most, Math.max(0, frame))) / most}%`;
    this.marks ??= scrub.parentNode.insertBefore(Object.assign(document.createElement("div"), { className: "marks" }), scrub.nextSibling);
    this.marks.style.setProperty("--in", part(first));
    this.marks.style.setProperty("--out", part(last));
    this.marks.hidden = first <= 0 && last >= this.player.frames - 1;
  }

  toggle(button) {
    this.playing = !this.playing;
    button.setAttribute("aria-pressed", String(this.playing));
    if (!this.playing) return;
    this.player.show(this.ends[0]);
    if (this.player.video.paused) this.player.toggle();
  }

  keep() {
    const { player } = this;
    if (!this.playing || !player.video || player.video.paused || !this.form) return;
    const [first, last] = this.ends;
    if (player.frame > last || player.frame < first) player.show(first);
  }
}

export function makeMore(player) {
  if (!place) return null;
  const part = new Part(player);
  place.addEventListener("submit", submit);
  place.addEventListener("change", (event) => {
    if (event.target.name === "model") suit(event.target.form);
    if (event.target.form === part.form) part.draw();
  });
  place.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.in !== undefined) part.set("first");
    if (button?.dataset.out !== undefined) part.set("last");
    if (button?.dataset.part !== undefined) part.toggle(button);
  });
  const ready = () => { for (const form of place.querySelectorAll("form")) suit(form); };
  place.addEventListener("htmx:afterSwap", ready);
  ready();
  return part;
}
