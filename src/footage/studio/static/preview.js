// Previews of what a form asks for: a grid of seeds or variations, and a row of pictures behind each latent slider.

import { api, t } from "./app.js";
import { number, streams, videoOptions } from "./controls.js";
import { still } from "./player.js";

const CELLS = 12;
const STRIP = 8; // pictures of a cell
const STEP = 160; // milliseconds between two
const PLACES = [-3, -2, -1, 0, 1, 2, 3];
const FAR = 0.6; // standard deviations that near ones lie away, along each slider
const QUIET = { seeds: 120, rows: 350 }; // milliseconds without a change before something is made

// Normal numbers that are the same for the same seed (mulberry32, Box and Muller).
function normals(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

// A picture with a row for each variant, as the interface gives it; what is asked for later at the same place ends it.
class Sheet {
  constructor(place) {
    this.place = place;
    this.waiting = 0;
  }

  async ask(options, variants, more, quiet) {
    clearTimeout(this.waiting);
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    await new Promise((resolve) => { this.waiting = setTimeout(resolve, quiet); });
    if (abort.signal.aborted) return null;
    try {
      const answer = await api("POST", "/api/previews", { ...options, variants, ...more, place: this.place }, { whole: true, quiet: true, signal: abort.signal });
      const [rows, columns, seconds] = answer.headers.get("x-preview").split(" ").map(Number);
      const picture = await createImageBitmap(await answer.blob());
      return abort.signal.aborted ? null : { rows, columns, seconds, picture, width: picture.width / columns, height: picture.height / rows };
    } catch (error) {
      if (abort.signal.aborted || error.status === 409) return null;
      return { problem: error.message };
    }
  }
}

export class Preview {
  constructor(form, element) {
    this.form = form;
    this.element = element;
    this.cells = element.querySelector(".cells");
    this.told = element.querySelector("[data-told]");
    const key = crypto.randomUUID?.() ?? String(Math.random()); // of this page; over plain HTTP there is no UUID
    [this.grid, this.rows] = [new Sheet(`grid ${key}`), new Sheet(`rows ${key}`)];
    this.page = 0;
    this.tick = 0;
    element.addEventListener("click", (event) => this.click(event));
    for (const name of ["input", "change"]) form.addEventListener(name, (event) => this.changed(event));
    form.addEventListener("click", (event) => this.place(event));
    setInterval(() => this.animate(), STEP);
    this.draw();
    this.drawRows();
  }

  get ways() {
    const chosen = this.form.elements.model.selectedOptions[0];
    const sliders = Number(chosen?.dataset.sliders || 0);
    return { seeds: true, near: sliders > 0, motion: streams(this.form), content: streams(this.form) };
  }

  // The variants of the form's settings, those of the page that is looked at.
  variants() {
    const { seed, sliders, timing } = videoOptions(this.form);
    const motion = timing.motion_seed ?? seed;
    const to = number(this.form, "to_seed");
    const count = Math.min(8, Number(this.form.elements.model.selectedOptions[0]?.dataset.sliders || 0));
    return Array.from({ length: CELLS }, (_, i) => {
      const n = this.page * CELLS + i;
      const end = (by) => (to === null ? {} : { to_seed: to + by });
      if (this.way === "motion") return { seed, motion_seed: motion + n, ...end(0) };
      if (this.way === "content") return { seed: seed + n, motion_seed: motion, ...end(n) };
      if (this.way !== "near") return { seed: seed + n, ...end(n) };
      const draw = normals(n);
      const near = Array.from({ length: count }, (_, k) => [k + 1, Math.max(-5, Math.min(5, Math.round(10 * ((sliders[k + 1] ?? 0) + (n ? FAR * draw() : 0))) / 10))]);
      return { seed, sliders: Object.fromEntries(near.filter(([, value]) => value)), ...end(0) };
    });
  }

  options() {
    const { sliders, label, text, timing } = videoOptions(this.form);
    return { model: this.form.elements.model.value, label, text, sliders, timing };
  }

  changed(event) {
    if (event.target.name === "count" || event.target.name === "tags" || event.target.id === "presets") return;
    if (event.type === "change" && event.target.type === "range") return; // its input was heard
    this.page = 0;
    this.draw();
    if (!event.target.dataset.slider) this.drawRows();
  }

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.vary) { this.element.dataset.vary = button.dataset.vary; this.page = 0; this.draw(); }
    if (button.dataset.page) { this.page = Math.max(0, this.page + Number(button.dataset.page)); this.draw(); }
    if (button.dataset.cell) this.take(this.shown[Number(button.dataset.cell)]);
  }

  // The settings of a cell become those of the form.
  take({ seed, motion_seed, to_seed, sliders }) {
    const { elements } = this.form;
    elements.seed.value = seed;
    if (motion_seed !== undefined && elements.motion_seed) elements.motion_seed.value = motion_seed;
    if (to_seed !== undefined) elements.to_seed.value = to_seed;
    if (sliders) for (const input of this.form.querySelectorAll("[data-slider]")) {
      input.step = "any";
      input.value = sliders[input.dataset.slider] ?? 0;
      input.closest(".slider").querySelector("[data-value]").textContent = input.value;
    }
    elements.seed.dispatchEvent(new Event("change", { bubbles: true }));
    this.told.textContent = t("preview_taken", { seed });
  }

  async draw() {
    const ways = this.ways;
    this.way = ways[this.element.dataset.vary] ? this.element.dataset.vary : "seeds";
    for (const button of this.element.querySelectorAll("[data-vary]")) {
      button.hidden = !ways[button.dataset.vary];
      button.setAttribute("aria-pressed", String(button.dataset.vary === this.way));
    }
    this.element.querySelector('[data-page="-1"]').disabled = !this.page;
    const variants = this.variants();
    const { fps, frames } = this.form.elements.model.selectedOptions[0].dataset;
    const length = Math.max(1, Math.round((number(this.form, "seconds") ?? frames / fps) * fps));
    this.element.setAttribute("aria-busy", "true");
    const sheet = await this.grid.ask(this.options(), variants, { frames: STRIP, length }, QUIET.seeds);
    if (!sheet) return;
    this.element.removeAttribute("aria-busy");
    if (sheet.problem) { this.told.textContent = sheet.problem; return; }
    this.shown = variants.slice(0, sheet.rows);
    this.sheet = sheet;
    while (this.cells.children.length > sheet.rows) this.cells.lastChild.remove();
    this.shown.forEach((variant, n) => this.cell(n, variant));
    this.told.textContent = sheet.rows < CELLS ? t("preview_slow", { n: sheet.rows }) : t("preview_hint");
    this.animate(true);
  }

  cell(n, { seed, motion_seed }) {
    let button = this.cells.children[n];
    if (!button) {
      button = Object.assign(document.createElement("button"), { type: "button", className: "cell" });
      button.dataset.cell = n;
      button.append(document.createElement("canvas"), document.createElement("small"));
      this.cells.append(button);
    }
    const canvas = button.firstChild;
    if (canvas.width !== this.sheet.width || canvas.height !== this.sheet.height) Object.assign(canvas, { width: this.sheet.width, height: this.sheet.height });
    const name = this.way === "near" ? `${t("vary_near")} ${this.page * CELLS + n + 1}` : this.way === "motion" ? `${t("motion_seed")} ${motion_seed}` : `${t("seed")} ${seed}`;
    button.lastChild.textContent = this.way === "near" ? String(this.page * CELLS + n + 1) : `#${this.way === "motion" ? motion_seed : seed}`;
    button.setAttribute("aria-label", t("preview_take", { name }));
  }

  // What is looked at moves; where little motion is asked for, only that which the pointer or the keyboard is on.
  animate(all = false) {
    const { sheet } = this;
    if (!sheet || document.hidden) return;
    this.tick = all ? 0 : this.tick + 1;
    [...this.cells.children].forEach((button, n) => {
      const moving = !still() || button.matches(":hover, :focus-visible");
      if (!all && (!moving || sheet.columns === 1)) return;
      const column = moving ? this.tick % sheet.columns : 0;
      button.firstChild.getContext("2d").drawImage(sheet.picture, column * sheet.width, n * sheet.height, sheet.width, sheet.height, 0, 0, sheet.width, sheet.height);
    });
  }

  // Behind each slider stand pictures of the clip with it at -3 to 3, all else as it is.
  async drawRows() {
    const inputs = [...this.form.querySelectorAll("[data-slider]")];
    if (!inputs.length) return;
    const { seed, sliders } = videoOptions(this.form);
    const variants = inputs.flatMap((input) => PLACES.map((place) => ({ seed, sliders: { ...sliders, [input.dataset.slider]: place } })));
    const sheet = await this.rows.ask(this.options(), variants, { frames: 1 }, QUIET.rows);
    if (!sheet || sheet.problem) return;
    inputs.forEach((input, row) => {
      if ((row + 1) * PLACES.length > sheet.rows || !input.isConnected) return;
      let canvas = input.parentNode.querySelector("canvas");
      if (!canvas) {
        canvas = document.createElement("canvas");
        canvas.setAttribute("aria-hidden", "true");
        input.before(canvas);
      }
      Object.assign(canvas, { width: PLACES.length * sheet.width, height: sheet.height });
      PLACES.forEach((_, n) => canvas.getContext("2d").drawImage(sheet.picture, 0, (row * PLACES.length + n) * sheet.height, sheet.width, sheet.height, n * sheet.width, 0, sheet.width, sheet.height));
    });
  }

  // A picture of a slider's row sets the slider there.
  place(event) {
    if (event.target.tagName !== "CANVAS") return;
    event.preventDefault();
    const input = event.target.parentNode.querySelector("[data-slider]");
    const box = event.target.getBoundingClientRect();
    input.value = PLACES[Math.min(PLACES.length - 1, Math.floor(((event.clientX - box.left) / box.width) * PLACES.length))];
    input.focus();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
