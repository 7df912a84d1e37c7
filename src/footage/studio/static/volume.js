// Volumes: three planes through one point, the window that they are shown through, and what stands at a place.

import { api, message, t } from "./app.js";

// DICOM's function of a window (PS3.3), 0 to 255: LINEAR (C.11.2.1.2.1), or LINEAR_EXACT (C.11.2.1.3.2).
export function shade(value, { centre, width, exact = false }) {
  const less = exact ? 0 : 1;
  const [low, high] = [-1, 1].map((side) => centre - less / 2 + (side * (width - less)) / 2);
  return value <= low ? 0 : value > high ? 255 : Math.round(((value - low) / (high - low)) * 255);
}

const TISSUES = { soft: [40, 400], lung: [-600, 1500], bone: [400, 1800] }; // centre and width, in HU
const LIKE_HU = -500; // values below are air, where no unit is told
// The axes (0 slices, 1 rows, 2 columns of axial pictures) of each plane: which stays, which runs down and across.
const PLANES = { axial: [0, 1, 2], coronal: [1, 0, 2], sagittal: [2, 0, 1] };
const TOWARDS = { S: "I", I: "S", P: "A", A: "P", L: "R", R: "L" };
const shown = (value) => (Math.abs(value) < 10 && !Number.isInteger(value) ? value.toPrecision(3) : value.toFixed(0)).replace("-", "−");

class VolumeViewer {
  constructor(element) {
    this.element = element;
    this.state = element.querySelector("[data-state]");
    this.window = element.querySelector(".window");
    this.table = new Uint8ClampedArray(2 ** 16); // the shade of each level
    this.planes = Object.entries(PLANES).map(([name, axes]) => {
      const place = element.querySelector(`[data-plane=${name}]`);
      return { name, place, axes, canvas: place.querySelector("canvas"), slider: place.querySelector("input"), told: place.querySelector("output") };
    });
  }

  async open() {
    try {
      this.told = await api("GET", this.element.dataset.planes, undefined, { quiet: true });
      this.point = this.told.shape.map((length) => Math.floor(length / 2));
      this.lay();
      this.listen();
      for (const part of this.told.parts) await this.load(part);
      const whole = this.told.parts.some((part) => part.shape.every((length, axis) => length === this.told.shape[axis]));
      this.state.textContent = whole ? "" : t("volume_coarse");
    } catch (error) {
      this.state.textContent = error.message;
      this.state.classList.add("bad");
    }
  }

  // Fetch levels and show what has come of them; where a coarser part is shown already, when all has come.
  async load(part) {
    const levels = new Uint16Array(part.shape.reduce((a, b) => a * b));
    const bytes = new Uint8Array(levels.buffer);
    const first = !this.levels;
    if (first) Object.assign(this, { levels, shape: part.shape });
    const response = await fetch(part.url);
    if (!response.ok) throw new Error(t("volume_gone"));
    let at = 0;
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes.set(value, at);
      at += value.length;
      this.state.textContent = t(first ? "volume_loading_part" : "volume_half", { n: Math.round((100 * at) / bytes.length) });
      if (first) this.draw();
    }
    if (at !== bytes.length) throw new Error(t("volume_gone"));
    Object.assign(this, { levels, shape: part.shape });
    this.draw();
    this.tell();
  }

  // Give everything its place and size: millimetres are equally long in all planes.
  lay() {
    const { shape, spacing, orientation, unit, least, most, notes } = this.told;
    const long = shape.map((length, axis) => length * spacing[axis]);
    const grid = this.element.querySelector(".planes");
    grid.style.gridTemplateColumns = `minmax(0, ${long[2]}fr) minmax(0, ${long[1]}fr)`;
    grid.style.maxWidth = `max(640px, calc(72vh * ${(long[1] + long[2]) / Math.max(long[0], long[1])}))`; // a plane fits into the window
    for (const { place, axes, slider } of this.planes) {
      const [fixed, down, across] = axes;
      const cut = place.querySelector(".cut");
      cut.style.aspectRatio = `${long[across]} / ${long[down]}`;
      slider.max = shape[fixed] - 1;
      if (!orientation) continue;
      const [low, high] = [across, down].map((axis) => [TOWARDS[orientation[axis]], orientation[axis]]);
      const sides = { left: low[0], right: low[1], top: this.up(down) ? high[1] : high[0], bottom: this.up(down) ? high[0] : high[1] };
      for (const [side, letter] of Object.entries(sides)) place.querySelector(`b.${side}`).textContent = letter;
    }
    this.element.querySelector("[data-unplaced]").hidden = orientation !== "";
    this.element.querySelector("[data-notes]").replaceChildren(...notes.map((text) => Object.assign(document.createElement("li"), { textContent: message(text) })));
    const tissues = unit === "HU" || (!unit && least <= LIKE_HU);
    for (const button of this.window.querySelectorAll("[data-window]")) button.hidden = button.dataset.window in TISSUES && !tissues;
    const step = this.told.window.exact ? (most - least) / 1000 || 1 : 1;
    const [centre, width] = ["centre", "width"].map((name) => this.window.querySelector(`[name=${name}]`));
    Object.assign(centre, { min: Math.floor(least), max: Math.ceil(most), step });
    Object.assign(width, { min: step, max: Math.max(Math.ceil(most - least), step), step });
    if (tissues) for (const [slider, at] of [[centre, 0], [width, 1]]) {
      for (const values of Object.values(TISSUES)) [slider.min, slider.max] = [Math.min(slider.min, values[at]), Math.max(slider.max, values[at])];
    }
    grid.hidden = false;
    this.choose(this.told.window.centre, this.told.window.width, "auto");
  }

  // Whether an axis is shown upwards: slices lead to the head.
  up(axis) {
    return axis === 0;
  }

  listen() {
    for (const { canvas, slider, axes } of this.planes) {
      const [fixed, down, across] = axes;
      const place = (event) => {
        const box = canvas.getBoundingClientRect();
        const part = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
        const point = [...this.point];
        point[across] = Math.floor(part[0] * this.told.shape[across]);
        point[down] = Math.floor((this.up(down) ? 1 - part[1] : part[1]) * this.told.shape[down]);
        return this.inside(point);
      };
      canvas.addEventListener("pointerdown", (event) => { if (event.button) return; canvas.setPointerCapture(event.pointerId); this.go(place(event)); });
      canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) this.go(place(event)); else this.tell(place(event)); });
      canvas.addEventListener("pointerleave", () => this.tell());
      canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.step(fixed, event.deltaY < 0 ? 1 : -1); }, { passive: false });
      canvas.addEventListener("keydown", (event) => {
        const upwards = this.up(down) ? 1 : -1;
        const ways = { ArrowLeft: [across, -1], ArrowRight: [across, 1], ArrowUp: [down, upwards], ArrowDown: [down, -upwards], PageUp: [fixed, 1], PageDown: [fixed, -1] };
        if (!(event.key in ways) || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        event.stopPropagation();
        this.step(...ways[event.key]);
      });
      slider.addEventListener("input", () => { const point = [...this.point]; point[fixed] = Number(slider.value); this.go(point); });
    }
    this.window.addEventListener("click", (event) => {
      const name = event.target.closest("[data-window]")?.dataset.window;
      const { window, least, most } = this.told;
      if (name) this.choose(...(TISSUES[name] ?? (name === "auto" ? [window.centre, window.width] : [(least + most) / 2, most - least])), name);
    });
    this.window.addEventListener("input", (event) => {
      if (event.target.name === "smooth") this.element.classList.toggle("voxels", !event.target.checked);
      else this.choose(...["centre", "width"].map((name) => Number(this.window.querySelector(`[name=${name}]`).value)));
    });
  }

  // Show through a window; `name` is the button that it is of.
  choose(centre, width, name = "") {
    const { slope, intercept, unit, window } = this.told;
    this.shown = { centre, width: Math.max(width, window.exact ? 1e-9 : 1), exact: window.exact };
    for (let level = 0; level < this.table.length; level++) this.table[level] = shade(intercept + slope * level, this.shown);
    for (const [field, value] of [["centre", centre], ["width", width]]) {
      const slider = this.window.querySelector(`[name=${field}]`);
      slider.value = value;
      slider.parentElement.querySelector("[data-value]").textContent = `${shown(value)} ${unit}`.trim();
    }
    for (const button of this.window.querySelectorAll("[data-window]")) button.setAttribute("aria-pressed", String(button.dataset.window === name));
    this.draw();
  }

  inside(point) {
    return point.map((place, axis) => Math.min(this.told.shape[axis] - 1, Math.max(0, place)));
  }

  step(axis, by) {
    const point = [...this.point];
    point[axis] += by;
    this.go(point);
  }

  go(point) {
    this.point = this.inside(point);
    this.draw();
    this.tell();
  }

  // The place of a voxel of the whole in what is loaded.
  at(axis, place) {
    return Math.min(this.shape[axis] - 1, Math.floor(((place + 0.5) * this.shape[axis]) / this.told.shape[axis]));
  }

  draw() {
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      for (const plane of this.planes) this.drawPlane(plane);
    });
  }

  drawPlane({ name, canvas, slider, told, place, axes }) {
    const [fixed, down, across] = axes;
    const { shape } = this.told;
    if (this.levels) {
      const steps = [this.shape[1] * this.shape[2], this.shape[2], 1];
      const [rows, columns] = [this.shape[down], this.shape[across]];
      if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
      const context = canvas.getContext("2d");
      const picture = context.createImageData(columns, rows);
      const pixels = new Uint32Array(picture.data.buffer);
      const begin = this.at(fixed, this.point[fixed]) * steps[fixed];
      for (let row = 0, to = 0; row < rows; row++) {
        let from = begin + (this.up(down) ? rows - 1 - row : row) * steps[down];
        for (let column = 0; column < columns; column++, from += steps[across]) pixels[to++] = 0xff000000 | (this.table[this.levels[from]] * 0x010101);
      }
      context.putImageData(picture, 0, 0);
    }
    const part = (axis) => (this.point[axis] + 0.5) / shape[axis];
    place.querySelector(".down").style.left = `${100 * part(across)}%`;
    place.querySelector(".across").style.top = `${100 * (this.up(down) ? 1 - part(down) : part(down))}%`;
    slider.value = this.point[fixed];
    told.textContent = `${this.point[fixed] + 1} / ${shape[fixed]}`;
    canvas.setAttribute("aria-label", `${t(`plane_${name}`)}, ${told.textContent}`);
    slider.setAttribute("aria-valuetext", told.textContent);
  }

  // Say which value stands at a place, and where that is, in mm from the volume's middle.
  tell(point = this.point) {
    if (!this.levels) return;
    const { slope, intercept, unit, shape, spacing, orientation } = this.told;
    const [slice, row, column] = point.map((place, axis) => this.at(axis, place));
    const value = intercept + slope * this.levels[(slice * this.shape[1] + row) * this.shape[2] + column];
    this.element.querySelector(".there [data-value]").textContent = `${shown(value)} ${unit}`.trim();
    const places = [2, 1, 0].map((axis) => {
      const away = (point[axis] - (shape[axis] - 1) / 2) * spacing[axis];
      const letter = orientation ? (away < 0 ? TOWARDS[orientation[axis]] : orientation[axis]) : "xyz"[2 - axis];
      return `${letter} ${(orientation ? Math.abs(away) : away).toFixed(1).replace("-", "−")}`;
    });
    this.element.querySelector("[data-place]").textContent = t("volume_place", { place: places.join(" · ") });
  }
}

for (const element of document.querySelectorAll("[data-planes]")) new VolumeViewer(element).open();
