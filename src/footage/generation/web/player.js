// Runs an exported model that streams: what `footage export --web` writes. Everything is in this folder.
import * as ort from "./ort.wasm.min.mjs";

const CHUNK = 8; // frames that are made at once
const AHEAD = 16; // frames that wait to be shown, at most
const CHANGE = 24; // frames in which content becomes another
const at = (name) => document.getElementById(name);

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;

// Random numbers of a seed: mulberry32, and two normal ones of two even ones (Box and Muller 1958).
function normals(seed) {
  let state = seed >>> 0;
  let spare = null;
  const even = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => {
    if (spare !== null) {
      const kept = spare;
      spare = null;
      return kept;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - even()));
    const angle = 2 * Math.PI * even();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

const filled = (count, draw) => Float32Array.from({ length: count }, draw);
const tensor = (data, ...shape) => new ort.Tensor("float32", data, shape);

class Model {
  static async load() {
    const model = new Model();
    model.about = await (await fetch("model.json")).json();
    model.graphs = {};
    for (const [n, { name, file }] of model.about.graphs.entries()) {
      at("said").textContent = `loading ${model.about.name}: part ${n + 1} of ${model.about.graphs.length}`;
      model.graphs[name] = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
    }
    return model;
  }

  // What stays: style and canvas, of content (c) and weights over labels.
  async paint(content, label) {
    const inputs = { content: tensor(content, 1, content.length) };
    if (label.length) inputs.label = tensor(label, 1, label.length);
    return this.graphs.paint.run(inputs);
  }

  // Frames as bytes (N, H, W, 4), of motion (N, 2 K) and, in shots, the time of each since its beginning.
  async animate(painted, motion, count, label, clock, noise) {
    const inputs = { style: painted.style, canvas: painted.canvas, motion: tensor(motion, count, motion.length / count) };
    if (label.length) inputs.label = tensor(label, 1, label.length);
    if (this.about.shot) inputs.clock = tensor(clock, count);
    const { frames } = await this.graphs.animate.run(inputs);
    if (!this.graphs.details) return pixels(frames);
    const [, channels, height, width] = frames.dims;
    const [h, w] = this.about.noise;
    const large = [];
    for (let n = 0; n < count; n++) {
      const picture = tensor(frames.data.slice(n * channels * height * width, (n + 1) * channels * height * width), 1, channels, height, width);
      const made = await this.graphs.details.run({ picture, noise: tensor(noise, 1, 1, h, w) });
      large.push(...pixels(made.frames));
      await new Promise((done) => setTimeout(done)); // the page stays awake
    }
    return large;
  }
}

// Frames of numbers in [-1, 1], (N, C, H, W), as pictures; rounded as Python does.
function pixels({ data, dims: [count, channels, height, width] }) {
  const area = height * width;
  return Array.from({ length: count }, (_, n) => {
    const picture = new ImageData(width, height);
    for (let place = 0; place < area; place++) {
      for (let c = 0; c < 3; c++) {
        const value = data[(n * channels + Math.min(c, channels - 1)) * area + place];
        picture.data[4 * place + c] = Math.round((value + 1) * 127.5);
      }
      picture.data[4 * place + 3] = 255;
    }
    return picture;
  });
}

class Motion {
  constructor(model, seed) {
    this.model = model;
    this.draw = normals(seed);
    this.count = model.about.processes;
    this.state = tensor(filled(4 * this.count, this.draw), this.count, 2, 2);
    this.angle = tensor(new Float32Array(this.count), this.count);
    this.time = 0;
  }

  async next(frames, strength) {
    const motion = new Float32Array(frames * 2 * this.count);
    const clock = new Float32Array(frames);
    for (let n = 0; n < frames; n++) {
      const { shot } = this.model.about;
      if (shot && this.time % shot === 0 && this.time) Object.assign(this, { state: tensor(filled(4 * this.count, this.draw), this.count, 2, 2), angle: tensor(new Float32Array(this.count), this.count) });
      const noise = tensor(filled(4 * this.count, this.draw), this.count, 2, 2);
      const moved = await this.model.graphs.move.run({ state: this.state, angle: this.angle, noise });
      this.state = moved.state_after;
      this.angle = moved.angle_after;
      motion.set(moved.motion.data.map((value) => value * strength), n * 2 * this.count);
      clock[n] = shot ? this.time % shot : 0;
      this.time += 1;
    }
    return [motion, clock];
  }
}

// Codes on the way keep their length: an arc of the sphere (Shoemake 1985, slerp); codes that are nearly alike, a line.
function between(start, end, place) {
  const dot = (a, b) => a.reduce((sum, value, n) => sum + value * b[n], 0);
  const angle = Math.acos(Math.min(1, Math.max(-1, dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end) || 1))));
  const near = Math.sin(angle) < 1e-3;
  const before = near ? 1 - place : Math.sin((1 - place) * angle) / Math.sin(angle);
  const after = near ? place : Math.sin(place * angle) / Math.sin(angle);
  return start.map((value, n) => before * value + after * end[n]);
}

function wanted(model) {
  const code = Float32Array.from(model.about.seeds[Number(at("seed").value)]);
  document.querySelectorAll("#moved input").forEach((input, row) => {
    model.about.sliders[row].forEach((value, n) => (code[n] += value * Number(input.value)));
  });
  const weights = Float32Array.from(document.querySelectorAll("#labels input"), (input) => Number(input.value));
  const sum = weights.reduce((a, b) => a + b, 0);
  return { code, label: sum ? weights.map((weight) => weight / sum) : weights.fill(1 / Math.max(1, weights.length)) };
}

function knob(parent, name, low, high, value, said) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "range", min: low, max: high, step: 0.05, value });
  const output = Object.assign(document.createElement("output"), { textContent: value });
  label.append(name, input, output);
  input.addEventListener("input", () => {
    output.textContent = input.value;
    said();
  });
  parent.append(label);
}

// Compares frames with those that Python made of the same numbers: the largest difference in grey levels.
async function check(model) {
  const given = model.about.check;
  const label = Float32Array.from(given.label);
  const painted = await model.paint(Float32Array.from(given.content), label);
  const rows = given.motion.length;
  const made = await model.animate(painted, Float32Array.from(given.motion.flat()), rows, label, Float32Array.from(given.clock), Float32Array.from(given.noise.flat()));
  const right = Uint8Array.from(atob(given.frames), (sign) => sign.charCodeAt(0));
  let worst = 0;
  const screen = at("screen");
  const area = made[0].width * made[0].height;
  Object.assign(screen, { width: made[0].width, height: made[0].height });
  made.forEach((picture, n) => {
    const surface = screen.getContext("2d", { willReadFrequently: true });
    surface.putImageData(picture, 0, 0);
    const shown = surface.getImageData(0, 0, picture.width, picture.height).data;
    for (let place = 0; place < area; place++) {
      for (let c = 0; c < 3; c++) worst = Math.max(worst, Math.abs(shown[4 * place + c] - right[(n * area + place) * 3 + c]));
    }
  });
  document.body.dataset.difference = worst;
  at("said").textContent = `${rows} frames differ from Python's by ${worst} of 255 grey levels at most`;
}

async function play(model) {
  const { about } = model;
  const screen = at("screen");
  Object.assign(screen, { width: about.width, height: about.height });
  screen.classList.toggle("large", about.height > 256);
  about.seeds.forEach((_, seed) => at("seed").append(new Option(seed, seed)));
  let goal;
  let from;
  let place = 1;
  const change = () => {
    from = goal === undefined ? undefined : { code: place < 1 ? between(from.code, goal.code, place) : goal.code, label: goal.label };
    goal = wanted(model);
    place = from === undefined ? 1 : 0;
  };
  about.labels.forEach((name, n) => knob(at("labels"), name, 0, 1, n ? 0 : 1, change));
  about.sliders.forEach((_, n) => knob(at("moved"), n + 1, -3, 3, 0, change));
  at("moved").hidden = !about.sliders.length;
  at("seed").addEventListener("change", change);
  at("next").addEventListener("click", () => {
    at("seed").value = (Number(at("seed").value) + 1) % about.seeds.length;
    change();
  });
  let paused = false;
  at("pause").addEventListener("click", () => {
    paused = !paused;
    at("pause").textContent = paused ? "go on" : "pause";
  });
  at("strength").addEventListener("input", () => (at("strength").nextElementSibling.textContent = at("strength").value));
  let motion = new Motion(model, 0);
  at("motion").addEventListener("change", () => (motion = new Motion(model, Number(at("motion").value))));
  at("knobs").addEventListener("submit", (event) => event.preventDefault());
  change();
  const field = about.noise.length ? filled(about.noise[0] * about.noise[1], normals(1)) : new Float32Array();
  const waiting = [];
  let shown = 0;
  let since = performance.now();
  let due = since;
  (function show(now) {
    if (waiting.length && !paused && now >= due) {
      screen.getContext("2d").putImageData(waiting.shift(), 0, 0);
      shown += 1;
      due = Math.max(due + 1000 / about.fps, now - 1000 / about.fps);
      if (now - since > 1000) {
        at("said").textContent = `${((1000 * shown) / (now - since)).toFixed(1)} of ${about.fps} frames a second`;
        document.body.dataset.frames = Number(document.body.dataset.frames ?? 0) + shown;
        [shown, since] = [0, now];
      }
    }
    requestAnimationFrame(show);
  })(since);
  let painted = null;
  let told = goal;
  for (;;) {
    if (waiting.length > AHEAD || paused) {
      await new Promise((done) => setTimeout(done, 10));
      continue;
    }
    const changing = place < 1;
    if (changing || painted === null || told !== goal) {
      place = Math.min(1, place + 1 / CHANGE);
      painted = await model.paint(changing ? between(from.code, goal.code, place) : goal.code, goal.label);
      told = goal;
    }
    const count = changing || model.graphs.details ? 1 : CHUNK;
    const [moved, clock] = await motion.next(count, Number(at("strength").value));
    waiting.push(...(await model.animate(painted, moved, count, goal.label, clock, field)));
    await new Promise((done) => setTimeout(done));
  }
}

try {
  const model = await Model.load();
  at("name").textContent = model.about.name;
  at("model").textContent = `${model.about.name} (weights ${model.about.weights.slice(0, 12)}), with ${model.about.made_by}`;
  document.title = model.about.name;
  document.body.classList.remove("loading");
  await (new URLSearchParams(location.search).has("check") ? check(model) : play(model));
} catch (fault) {
  at("said").textContent = `this page cannot run the model: ${fault.message}. It has to be served (python -m http.server), and needs WebAssembly with SIMD.`;
  document.body.dataset.fault = fault.message;
  throw fault;
}
