// The plots of how-stream-works: SVG drawn at the width that there is, moved by ordinary fields of the page.
"use strict";

{
const numbers = JSON.parse(document.getElementById("plots").textContent);
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 240, LEFT = 34, BOTTOM = 34, TOP = 10, RIGHT = 10;

function tag(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

// A frame with axes, into which lines, dots and bars are put by their numbers.
class Plot {
  constructor(svg, [left, right], [low, high], across, title) {
    this.svg = svg;
    this.width = Math.max(240, svg.parentElement.clientWidth);
    this.x = (value) => LEFT + ((value - left) / (right - left)) * (this.width - LEFT - RIGHT);
    this.y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    svg.replaceChildren(tag("title", {}, title));
    svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    svg.setAttribute("height", HEIGHT);
    for (let value = Math.ceil(low); value <= high; value += 1) {
      this.put("line", { x1: LEFT, x2: this.width - RIGHT, y1: this.y(value), y2: this.y(value), class: value ? "grid" : "axis" });
      this.put("text", { x: LEFT - 8, y: this.y(value) + 4, "text-anchor": "end" }, String(value).replace("-", "−"));
    }
    const step = (right - left) / (this.width < 480 ? 4 : 8);
    for (let value = left; value <= right + 1e-9; value += step) {
      this.put("text", { x: this.x(value), y: HEIGHT - 18, "text-anchor": "middle" }, String(Math.round(value)));
    }
    this.put("text", { x: (LEFT + this.width - RIGHT) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, across);
  }

  put(name, attributes, text) { this.svg.append(tag(name, attributes, text)); }

  line(points, kind) { this.put("polyline", { points: points.map(([x, y]) => `${this.x(x)},${this.y(y)}`).join(" "), class: kind }); }

  dot(x, y, kind) { this.put("circle", { cx: this.x(x), cy: this.y(y), r: 4, class: kind }); }

  upright(x, low, high, kind) { this.put("line", { x1: this.x(x), x2: this.x(x), y1: this.y(low), y2: this.y(high), class: kind }); }
}

// A field with its label and what it says; `made` gives the control itself.
function field(box, text, made) {
  const label = document.createElement("label");
  const output = document.createElement("output");
  label.append(text, " ", made, " ", output);
  box.append(label);
  return [made, output];
}

function slider(box, text, low, high, step, value) {
  const made = document.createElement("input");
  Object.assign(made, { type: "range", min: low, max: high, step, value });
  return field(box, text, made);
}

function choice(box, text, options, value) {
  const made = document.createElement("select");
  for (const [key, name] of options) made.add(new Option(name, key, key === value, key === value));
  return field(box, text, made);
}

const points = (values, step) => values.map((value, number) => [number * step, value]);
const at = (value) => value.toFixed(2).replace("-", "−");

const PLOTS = {
  time(svg, box) {
    const { values, memories, across, sheet, fps } = numbers.time;
    const last = values[0].length - 1;
    const picture = document.createElement("div");
    picture.className = "plot-frame";
    picture.setAttribute("role", "img");
    picture.style.backgroundImage = `url(${sheet})`;
    picture.style.backgroundSize = `${across * 100}% auto`;
    box.parentElement.insertBefore(picture, box);
    const [time, said] = slider(box, "time", 0, last, 1, 20);
    return () => {
      const t = Number(time.value), rows = (last + 1) / across;
      picture.style.backgroundPosition = `${((t % across) / (across - 1)) * 100}% ${(Math.floor(t / across) / (rows - 1)) * 100}%`;
      picture.setAttribute("aria-label", `frame ${t} of the video`);
      said.value = `frame ${t}, ${(t / fps).toFixed(2)} s: ${values.map((path) => at(path[t])).join(", ")}`;
      const plot = new Plot(svg, [0, last], [-3, 3], "frames", "Four numbers of the noise bank over time");
      values.forEach((path, number) => { plot.line(points(path, 1), `path-${number}`); plot.dot(t, path[t], `path-${number}`); });
      plot.upright(t, -3, 3, "cursor");
      box.querySelector(".plot-key")?.remove();
      const key = document.createElement("p");
      key.className = "plot-key";
      memories.forEach((memory, number) => {
        const word = document.createElement("span");
        word.className = `path-${number}`;
        word.textContent = `remembers ${Math.round(memory)} frames`;
        key.append(word, " ");
      });
      box.append(key);
    };
  },

  refine(svg, box) {
    const { path, block, means, deviations } = numbers.refine;
    const [halvings, said] = slider(box, "halvings", 0, deviations.length, 1, 2);
    return () => {
      const n = Number(halvings.value), step = (path.length - 1) / 2 ** n, gap = block / 2 ** n;
      const known = path.filter((_, number) => number % step === 0);
      const plot = new Plot(svg, [0, block], [-3, 3], "frames", "A path, known at more and more of its frames");
      plot.line(points(path, 0.25), "faint");
      for (let number = 0; n < deviations.length && number + 1 < known.length; number += 1) {
        const there = path[(number + 0.5) * step];
        const middle = means[n][number];
        plot.upright((number + 0.5) * gap, middle - deviations[n], middle + deviations[n], "bar");
        plot.dot((number + 0.5) * gap, there, "hollow");
      }
      plot.line(points(known, gap), "path-0");
      known.forEach((value, number) => plot.dot(number * gap, value, "path-0"));
      said.value = `${known.length} frames known${n < deviations.length ? `; the next are drawn within about ±${deviations[n].toFixed(3)}` : ""}`;
    };
  },

  loop(svg, box) {
    const options = Object.keys(numbers.loop).map((length) => [length, `${length} frames`]);
    const [length, none] = choice(box, "loop of", options, "64");
    const [turn, said] = slider(box, "time", 0, 3, 0.0625, 0.75);
    none.remove();
    return () => {
      const [drawn, closed] = numbers.loop[length.value];
      const whole = closed.length - 1, rounds = [0, 1, 2].flatMap(() => closed.slice(0, whole)).concat(closed[0]);
      const plot = new Plot(svg, [0, 3 * Number(length.value)], [-3, 3], "frames", "A path that comes back to where it began");
      plot.line(points(drawn, 0.25), "faint");
      plot.line(points(rounds, 0.25), "path-0");
      for (const round of [1, 2]) plot.upright(round * Number(length.value), -3, 3, "grid");
      const place = Math.round(Number(turn.value) * whole);
      plot.dot(place / 4, rounds[place], "path-0");
      said.value = `frame ${(place / 4).toFixed(2)} is frame ${((place % whole) / 4).toFixed(2)}: ${at(rounds[place])}`;
    };
  },

  drift(svg, box) {
    const { 0: [moved], ...wandering } = numbers.drift;
    const options = Object.keys(wandering).map((frames) => [frames, `${frames} frames`]);
    const [memory, none] = choice(box, "--drift", [["0", "none"], ...options], "128");
    const [strength, said] = slider(box, "--strength", 0, 2, 0.1, 1);
    none.remove();
    return () => {
      const paths = wandering[memory.value] ?? wandering["128"].map((path) => path.map(() => path[0]));
      const plot = new Plot(svg, [0, 512], [-3, 3], "frames", "Content that wanders, and motion made stronger or weaker");
      plot.line(points(moved.map((value) => value * Number(strength.value)), 4), "faint");
      paths.forEach((path, number) => plot.line(points(path, 4), `path-${number}`));
      said.value = `motion × ${Number(strength.value).toFixed(1)}`;
    };
  },
};

for (const place of document.querySelectorAll("[data-plot]")) {
  const svg = tag("svg", { role: "img", width: "100%" });
  const box = document.createElement("div");
  box.className = "plot-fields";
  place.replaceChildren(svg, box);
  const draw = PLOTS[place.dataset.plot](svg, box);
  place.addEventListener("input", draw);
  new ResizeObserver(draw).observe(place);
}
}
