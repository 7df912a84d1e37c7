// A timeline: parts on a track, what is set of each, the draft that is looked at, the clips that can be added.

import { api, ask, t, toast, typing, undo } from "./app.js";
import { drawSound, play, setSound } from "./player.js";

const page = document.getElementById("timeline");
const say = (text) => { document.getElementById("told").textContent = text; };
const open = (name) => { location.href = `/timeline?name=${encodeURIComponent(name)}`; };
const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
const make = (tag, values = {}, ...children) => { const made = Object.assign(document.createElement(tag), values); made.append(...children); return made; };
const icon = (name) => { const place = document.createElement("template"); place.innerHTML = `<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#${name}"/></svg>`; return place.content.firstChild; };

async function named(copied) {
  const known = [...document.querySelectorAll("#which option")].map((option) => option.value);
  const name = await ask(t("timeline_new"), { field: t("timeline_name") });
  if (!name) return;
  if (known.includes(name)) return toast(t("timeline_taken"), true);
  const timeline = copied ?? { footage: "timeline", version: 1, parts: [] };
  open((await api("PUT", `/api/timelines/${encodeURIComponent(name)}`, { timeline, before: "" })).name);
}

for (const button of document.querySelectorAll("[data-new]")) button.addEventListener("click", () => named());

class Draft {
  // Stretches of the film, small, rendered by the server when they are asked for; two screens take turns.
  constructor(place, address, ready) {
    [this.address, this.ready] = [address, ready];
    this.screens = [...place.querySelectorAll("video")];
    this.told = place.querySelector(".told");
    this.button = place.querySelector("[data-play]");
    this.bar = place.querySelector("#place");
    [this.here, this.whole] = [place.querySelector(".at"), place.querySelector(".total")];
    this.sound = place.querySelector("[data-sound]");
    this.moved = () => {};
    [this.time, this.playing, this.total, this.asked] = [0, false, 0, 0];
    this.reset(0);
    this.button.addEventListener("click", () => (this.playing ? this.pause() : this.play()));
    this.bar.addEventListener("input", () => this.seek(Number(this.bar.value)));
    this.sound.addEventListener("click", () => { const on = this.screens[0].muted; for (const screen of this.screens) setSound(screen, on); drawSound(this.sound, !on); });
    for (const screen of this.screens) {
      screen.addEventListener("timeupdate", () => { if (screen === this.screens[0] && this.playing) this.draw(this.begin + screen.currentTime); });
      screen.addEventListener("ended", () => { if (screen === this.screens[0]) this.next(); });
    }
  }

  // Forget what was rendered: the timeline is another.
  reset(total) {
    this.stretches = new Map();
    this.asked++;
    this.total = total;
    this.stale = true;
    if (this.playing) this.pause();
    this.told.textContent = total ? t("timeline_draft_hint") : "";
    this.bar.max = total;
    this.whole.textContent = clock(total);
    this.draw(Math.min(this.time, total));
  }

  draw(time) {
    this.time = time;
    this.bar.value = time;
    this.here.textContent = clock(time);
    this.moved(time);
  }

  // The stretch in which a time lies; an answer that came too late is none.
  async stretch(time) {
    const key = Math.floor(time / 6 + 1e-6);
    if (!this.stretches.has(key)) this.stretches.set(key, this.ready().then(() => api("POST", `${this.address}/draft`, { at: key * 6 })));
    try {
      return await this.stretches.get(key);
    } catch (error) {
      this.stretches.delete(key);
      throw error;
    }
  }

  async show(time, playing) {
    const mine = ++this.asked;
    const waiting = setTimeout(() => { if (mine === this.asked) this.told.textContent = t("timeline_rendering"); }, 150);
    try {
      const stretch = await this.stretch(time);
      if (mine !== this.asked) return;
      const other = this.screens[1];
      await new Promise((resolve, reject) => { other.onloadeddata = resolve; other.onerror = () => reject(new Error(t("lost"))); other.src = stretch.url; });
      if (mine !== this.asked) return;
      other.currentTime = Math.max(0, Math.min(time - stretch.at, other.duration - 0.02));
      other.hidden = false;
      this.screens[0].pause();
      this.screens[0].hidden = true;
      this.screens.reverse();
      [this.begin, this.stale] = [stretch.at, false];
      this.told.textContent = "";
      if (playing) {
        play(other);
        if (stretch.at + 6 < this.total) this.stretch(stretch.at + 6).catch(() => {});
      }
    } catch (error) {
      if (mine === this.asked) { this.pause(); this.told.textContent = error.message; }
    } finally {
      clearTimeout(waiting);
    }
  }

  press(playing) {
    this.playing = playing;
    this.button.setAttribute("aria-pressed", String(playing));
    this.button.setAttribute("aria-label", t(playing ? "pause" : "play"));
    this.button.querySelector("use").setAttribute("href", `/static/icons.svg#${playing ? "pause" : "play"}`);
  }

  play() {
    if (!this.total) return;
    this.press(true);
    this.show(this.time >= this.total - 0.1 ? 0 : this.time, true);
  }

  pause() {
    this.press(false);
    for (const screen of this.screens) screen.pause();
  }

  next() {
    if (!this.playing) return;
    if (this.begin + 6 < this.total - 0.02) this.show(this.begin + 6, true);
    else { this.pause(); this.draw(this.total); }
  }

  seek(time) {
    this.draw(Math.max(0, Math.min(time, this.total)));
    const screen = this.screens[0];
    if (!this.stale && time >= this.begin && time < this.begin + screen.duration) screen.currentTime = time - this.begin;
    else if (this.playing || !this.stale) this.show(Math.min(time, this.total - 0.02), this.playing);
  }
}

class Track {
  constructor() {
    this.address = `/api/timelines/${encodeURIComponent(page.dataset.name)}`;
    [this.list, this.panel, this.film] = [document.getElementById("track"), document.getElementById("part"), document.getElementById("film")];
    [this.box, this.head] = [page.querySelector(".track"), page.querySelector(".playhead")];
    [this.timeline, this.clips, this.stamp, this.chosen, this.saving] = [{ parts: [] }, {}, "", null, Promise.resolve()];
    this.loaded = 0; // times: what was queued before is not saved after
    this.draft = new Draft(page.querySelector(".draft"), this.address, () => this.saving);
    this.draft.moved = (time) => this.drawHead(time);
    this.listen();
  }

  async load() {
    const kept = await api("GET", this.address, undefined, { quiet: true }).catch((error) => { if (error.status === 404) location.href = "/timeline"; throw error; });
    this.take(kept);
    this.chosen = this.chosen === null || !this.parts.length ? null : Math.min(this.chosen, this.parts.length - 1);
    this.draw();
  }

  take(kept) { this.loaded++; [this.timeline, this.clips, this.stamp] = [kept.timeline, { ...this.clips, ...kept.clips }, kept.stamp]; }

  get parts() { return this.timeline.parts; }

  info(part) { return part.clip === undefined ? null : this.clips[part.clip] ?? null; }

  name(part) { return part.title?.split("\n")[0] || (part.clip === undefined ? t("timeline_title") : this.info(part)?.title ?? t("timeline_gone", { id: part.clip })); }

  seconds(part) {
    const clip = this.info(part);
    if (part.clip === undefined) return part.seconds ?? 3;
    if (!clip) return 1;
    if (clip.frames === 1 || !clip.fps) return part.seconds ?? 4;
    return (Math.min(part.last ?? clip.frames - 1, clip.frames - 1) - (part.first ?? 0) + 1) / clip.fps;
  }

  // When each part begins, in seconds of the film, and, last, how long it is.
  get starts() {
    let at = 0;
    const starts = this.parts.map((part, number) => { if (number) at -= part.transition?.seconds ?? (part.transition ? 1 : 0); const begin = at; at += this.seconds(part); return begin; });
    return [...starts, Math.max(0, at)];
  }

  // Keep what was done; each change is a step that can be undone.
  save(what) {
    const [timeline, loaded] = [structuredClone(this.timeline), this.loaded];
    this.saving = this.saving.catch(() => {}).then(async () => {
      if (loaded !== this.loaded) return; // it was changed from what is no longer shown
      const kept = await api("PUT", this.address, { timeline, what, before: this.stamp }).catch(() => null);
      if (!kept) return this.load();
      this.stamp = kept.stamp;
      this.clips = { ...this.clips, ...kept.clips };
    });
    this.saving.catch(() => {}); // without a connection the timeline stays as it is shown, until it can be kept
    this.draw();
    return this.saving;
  }

  add(part, place = this.chosen === null ? this.parts.length : this.chosen + 1) {
    this.parts.splice(place, 0, part);
    this.chosen = place;
    this.save(part.clip === undefined ? "title added" : "clip added");
    say(t("timeline_added", { title: this.name(part), n: place + 1 }));
  }

  addClip(clip, place) {
    this.clips[clip.id] ??= { ...clip, kind: "preview", digest: clip.digest.slice(0, 8) };
    this.add({ clip: clip.id }, place);
  }

  move(from, to) {
    to = Math.max(0, Math.min(to, this.parts.length - 1));
    if (from === to) return;
    const [part] = this.parts.splice(from, 1);
    this.parts.splice(to, 0, part);
    this.chosen = to;
    this.save("clip moved");
    this.focus();
    say(t("timeline_moved", { title: this.name(part), n: to + 1, of: this.parts.length }));
  }

  remove(number) {
    const [part] = this.parts.splice(number, 1);
    this.chosen = this.parts.length ? Math.min(number, this.parts.length - 1) : null;
    this.save("clip removed").then(() => toast(t("timeline_removed", { title: this.name(part) }), false, true));
    this.focus();
  }

  choose(number, focus = "") {
    this.chosen = number;
    this.draw();
    if (number !== null) this.draft.seek(this.starts[number] + (focus ? 0 : 0.001));
    if (focus) this.panel.elements[focus]?.focus();
  }

  focus() { this.list.querySelector(`[data-part="${this.chosen}"]`)?.focus(); }

  draw() {
    const starts = this.starts;
    const focused = document.activeElement?.closest?.("#track button")?.dataset;
    const kept = focused && (focused.part !== undefined ? `[data-part="${this.chosen ?? focused.part}"]` : `[data-joint="${focused.joint}"]`);
    this.list.replaceChildren(...this.parts.map((part, number) => this.drawn(part, number)));
    if (kept) this.list.querySelector(kept)?.focus();
    page.querySelector("[data-empty]").hidden = this.parts.length > 0;
    this.list.hidden = !this.parts.length;
    document.getElementById("length").textContent = t("timeline_length", { n: this.parts.length, time: clock(starts.at(-1)) });
    const content = JSON.stringify(this.timeline);
    if (content !== this.shown) this.draft.reset(starts.at(-1));
    this.shown = content;
    this.drawPanel();
    this.drawFilm();
    this.drawHead(this.draft.time);
  }

  drawn(part, number) {
    const [clip, seconds, name] = [this.info(part), this.seconds(part), this.name(part)];
    const item = make("li");
    if (number) {
      const told = part.transition;
      const kind = told ? this.panel.elements.kind.querySelector(`[value="${told.kind}"]`)?.textContent ?? told.kind : "";
      const joint = make("button", { type: "button", className: told ? "joint" : "joint cut", title: kind || t("timeline_cut") }, icon(told ? "between" : "add"));
      joint.dataset.joint = number;
      joint.setAttribute("aria-label", t(told ? "timeline_joint" : "timeline_joint_cut", { title: name, kind, seconds: told?.seconds ?? 1 }));
      item.append(joint);
    }
    const picture = make("span", { className: "picture" });
    if (clip) picture.append(make("img", { src: `/api/clips/${clip.id}/thumbnail?${clip.digest}`, alt: "" }));
    else if (part.clip === undefined) picture.style.background = part.colour ?? "#14171c";
    if (part.title) picture.append(make("span", { className: "words", textContent: part.title }));
    const about = make("span", { className: "about" }, make("span", { textContent: name }), make("span", { textContent: clock(seconds) }));
    const button = make("button", { type: "button", className: "part", draggable: document.body.dataset.role !== "look" }, picture, about);
    button.classList.toggle("gone", part.clip !== undefined && (!clip || clip.missing));
    button.dataset.part = number;
    button.style.width = `${Math.round(Math.max(74, Math.min(320, 22 * seconds)))}px`;
    button.setAttribute("aria-pressed", String(number === this.chosen));
    button.setAttribute("aria-label", t("timeline_said", { title: name, time: clock(seconds), n: number + 1, of: this.parts.length }));
    button.setAttribute("aria-describedby", "track-keys");
    item.append(button);
    return item;
  }

  drawHead(time) {
    const number = this.starts.slice(0, -1).findLastIndex((begin) => begin <= time + 1e-6);
    const button = this.list.querySelector(`[data-part="${number}"]`);
    this.head.hidden = !button || (!this.draft.playing && time === 0);
    if (!button) return;
    const part = Math.min(1, (time - this.starts[number]) / this.seconds(this.parts[number]));
    const box = this.box.getBoundingClientRect();
    const place = button.getBoundingClientRect();
    const left = place.left - box.left - 1 + this.box.scrollLeft + part * place.width;
    this.head.style.left = `${left}px`;
    if (this.draft.playing && (left < this.box.scrollLeft || left > this.box.scrollLeft + box.width)) this.box.scrollTo({ left: left - 40 });
  }

  // What is set of the chosen part.
  drawPanel() {
    const part = this.chosen === null ? null : this.parts[this.chosen];
    this.panel.querySelector("[data-none]").hidden = part !== null;
    this.panel.querySelector("[data-some]").hidden = part === null;
    if (!part) return;
    const [clip, fields] = [this.info(part), this.panel.elements];
    const moves = clip && clip.frames > 1 && clip.fps;
    const shows = { first: moves, last: moves, seconds: !moves, colour: part.clip === undefined, title: true, place: clip && part.title, fit: clip, level: clip?.audio, transition: this.chosen > 0, joint: part.transition, model: part.transition?.kind === "latent" };
    for (const [name, shown] of Object.entries(shows)) for (const place of this.panel.querySelectorAll(`[data-for="${name}"]`)) place.hidden = !shown;
    this.panel.querySelector("h2").textContent = this.name(part);
    if (moves) {
      fields.first.max = fields.last.max = clip.frames - 1;
      [fields.first.value, fields.last.value] = [part.first ?? 0, Math.min(part.last ?? clip.frames - 1, clip.frames - 1)];
    }
    fields.seconds.value = this.seconds(part);
    fields.title.value = part.title ?? "";
    fields.colour.value = part.colour ?? "#14171c";
    fields.place.value = part.place ?? "low";
    fields.fit.value = part.fit ?? "";
    fields.level.value = part.level ?? 1;
    fields.kind.value = part.transition ? part.transition.kind : "";
    fields.joint.value = part.transition?.seconds ?? 1;
    if (fields.model && part.transition?.model) fields.model.value = part.transition.model;
    for (const [way, last] of [["-1", 0], ["1", this.parts.length - 1]]) this.panel.querySelector(`[data-move="${way}"]`).disabled = this.chosen === last;
    this.tell(clip);
  }

  // What the sliders say, in words; the frame at which the part begins or ends.
  tell(clip, field = null) {
    const fields = this.panel.elements;
    const shown = (name, text) => { fields[name].closest("label").querySelector("[data-value]").textContent = text; fields[name].setAttribute("aria-valuetext", text); };
    if (clip?.fps) { shown("first", clock(fields.first.value / clip.fps)); shown("last", clock((Number(fields.last.value) + 1) / clip.fps)); }
    shown("level", `${Math.round(100 * fields.level.value)} %`);
    const look = this.panel.querySelector("[data-look]");
    look.hidden = !(clip && clip.kind === "video" && clip.frames > 1 && !clip.missing);
    if (look.hidden) return look.removeAttribute("src");
    const address = `/api/clips/${clip.id}/file?${clip.digest}`;
    if (look.getAttribute("src") !== address) look.src = address;
    const number = Number(field === "last" ? fields.last.value : fields.first.value);
    look.currentTime = (number + 0.5) / clip.fps;
  }

  set(name) {
    const [part, fields] = [this.parts[this.chosen], this.panel.elements];
    const [clip, value] = [this.info(part), fields[name].value];
    const keep = (key, now, usual) => { if (now === usual) delete part[key]; else part[key] = now; };
    if (name === "first") keep("first", Math.min(Number(value), part.last ?? clip.frames - 1), 0);
    else if (name === "last") keep("last", Math.max(Number(value), part.first ?? 0), clip.frames - 1);
    else if (name === "seconds") { if (!(value >= 0.1)) return this.drawPanel(); part.seconds = Number(value); }
    else if (name === "title") { if (!value.trim() && part.clip === undefined) return this.drawPanel(); keep("title", value, ""); }
    else if (name === "colour") part.colour = value;
    else if (name === "place") keep("place", value, "low");
    else if (name === "fit") keep("fit", value, "");
    else if (name === "level") keep("level", Number(value), 1);
    else {
      const kind = fields.kind.value;
      if (!kind) delete part.transition;
      else {
        const most = Math.min(this.seconds(part), this.seconds(this.parts[this.chosen - 1])) / 2;
        const usual = name === "kind" && !part.transition ? Math.max(0.05, Math.round(20 * Math.min(1, most)) / 20) : Number(fields.joint.value);
        part.transition = { kind, seconds: usual > 0 ? usual : 1, ...(kind === "latent" ? { model: fields.model.value } : {}) };
      }
    }
    this.save({ first: "clip trimmed", last: "clip trimmed", seconds: "clip trimmed", title: "title changed", colour: "title changed", place: "title changed", fit: "settings", level: "sound" }[name] ?? "transition");
  }

  // What holds for the whole film.
  drawFilm() {
    const [film, fields] = [this.timeline, this.film.elements];
    fields.sound.checked = film.sound ?? true;
    fields.level.value = film.level ?? 1;
    const known = film.music ? Object.entries(film.music).find(([name]) => name !== "level") : null;
    const value = known ? known.join(":") : "";
    if (value && ![...fields.music.options].some((option) => option.value === value)) fields.music.append(new Option(`${known[1]}`, value));
    fields.music.value = value;
    fields.music_level.value = film.music?.level ?? 0.5;
    const size = film.height ? `${film.width}×${film.height}` : "";
    if (size && ![...fields.size.options].some((option) => option.value === size)) fields.size.append(new Option(size, size));
    fields.size.value = size;
    fields.fit.value = film.fit ?? "letterbox";
    fields.level.closest("label").hidden = !fields.sound.checked;
    fields.music_level.closest("label").hidden = !film.music;
    this.tellFilm();
  }

  tellFilm() { for (const name of ["level", "music_level"]) { const field = this.film.elements[name]; const text = `${Math.round(100 * field.value)} %`; field.closest("label").querySelector("[data-value]").textContent = text; field.setAttribute("aria-valuetext", text); } }

  setFilm(name) {
    const [film, fields] = [this.timeline, this.film.elements];
    film.sound = fields.sound.checked;
    film.level = Number(fields.level.value);
    film.fit = fields.fit.value;
    const [kind, ...rest] = fields.music.value.split(":");
    if (!kind) delete film.music;
    else film.music = { [kind]: kind === "clip" ? Number(rest[0]) : rest.join(":"), level: Number(fields.music_level.value) };
    if (fields.size.value) [film.width, film.height] = fields.size.value.split("×").map(Number);
    else { delete film.width; delete film.height; }
    this.save({ sound: "sound", level: "sound", music: "music", music_level: "music" }[name] ?? "settings");
  }

  // Where something that is dragged would be put: before which part.
  place(event) {
    const parts = [...this.list.querySelectorAll(".part")];
    const number = parts.findIndex((part) => { const box = part.getBoundingClientRect(); return event.clientX < box.left + box.width / 2; });
    return number < 0 ? parts.length : number;
  }

  mark(number) {
    this.box.classList.toggle("over", number !== null);
    [...this.list.children].forEach((item, at) => { item.classList.toggle("before", at === number); item.classList.toggle("behind", number === this.parts.length && at === number - 1); });
  }

  listen() {
    this.list.addEventListener("click", (event) => {
      const { part, joint } = event.target.closest("button")?.dataset ?? {};
      if (part !== undefined) this.choose(Number(part));
      if (joint !== undefined) this.choose(Number(joint), "kind");
    });
    this.list.addEventListener("keydown", (event) => {
      const button = event.target.closest("[data-part]");
      if (!button || event.ctrlKey || event.metaKey || event.altKey) return;
      const [number, way] = [Number(button.dataset.part), { ArrowLeft: -1, ArrowRight: 1 }[event.key]];
      const ends = { Home: 0, End: this.parts.length - 1 }[event.key];
      const looks = document.body.dataset.role === "look";
      if (way && event.shiftKey && !looks) this.move(number, number + way);
      else if (way || ends !== undefined) { this.choose(ends ?? Math.max(0, Math.min(number + way, this.parts.length - 1))); this.focus(); }
      else if (["Delete", "Backspace"].includes(event.key) && !looks) this.remove(number);
      else return;
      event.preventDefault();
    });
    this.list.addEventListener("dragstart", (event) => { const button = event.target.closest(".part"); if (button) event.dataTransfer.setData("text/part", button.dataset.part); });
    this.box.addEventListener("dragover", (event) => { if (!event.dataTransfer.types.some((type) => ["text/part", "text/clip"].includes(type))) return; event.preventDefault(); this.mark(this.place(event)); });
    this.box.addEventListener("dragleave", (event) => { if (!this.box.contains(event.relatedTarget)) this.mark(null); });
    this.box.addEventListener("drop", (event) => {
      event.preventDefault();
      this.mark(null);
      const [part, clip, place] = [event.dataTransfer.getData("text/part"), event.dataTransfer.getData("text/clip"), this.place(event)];
      if (clip) this.addClip(JSON.parse(clip), place);
      else if (part) this.move(Number(part), place > Number(part) ? place - 1 : place);
    });
    this.panel.addEventListener("submit", (event) => event.preventDefault());
    this.film.addEventListener("submit", (event) => event.preventDefault());
    this.panel.addEventListener("change", (event) => this.set(event.target.name));
    this.panel.addEventListener("input", (event) => { if (event.target.type === "range") this.tell(this.info(this.parts[this.chosen]), event.target.name); });
    this.panel.addEventListener("click", (event) => {
      const { move, remove } = event.target.closest("button")?.dataset ?? {};
      if (move) this.move(this.chosen, this.chosen + Number(move));
      if (remove !== undefined) this.remove(this.chosen);
    });
    this.film.addEventListener("change", (event) => { if (event.target.type !== "file") this.setFilm(event.target.name); });
    this.film.addEventListener("input", () => this.tellFilm());
    page.querySelector("[data-title]").addEventListener("click", () => { this.add({ title: t("timeline_title"), seconds: 3 }); this.panel.elements.title.select(); });
    document.body.addEventListener("undone", () => this.load());
    addEventListener("resize", () => this.drawHead(this.draft.time));
    document.addEventListener("keydown", (event) => { if (event.key.toLowerCase() === "p" && !typing(event) && !event.ctrlKey && !event.metaKey && !document.querySelector("dialog[open]")) this.draft.button.click(); });
  }
}

// The clips of the library, to be dragged, or added by a click.
class Strip {
  constructor(track) {
    [this.track, this.list, this.text, this.cursor, this.asked] = [track, document.getElementById("strip"), document.getElementById("text"), null, 0];
    let waiting;
    this.text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => this.find(), 250); });
    this.list.addEventListener("dragstart", (event) => { const clip = event.target.closest("button")?.clip; if (clip) event.dataTransfer.setData("text/clip", JSON.stringify(clip)); });
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.clip) track.addClip(button.clip);
      else if (button) this.find(true);
    });
    this.find();
  }

  async find(more = false) {
    const mine = ++this.asked;
    const asked = new URLSearchParams({ limit: 24, ...(this.text.value.trim() ? { text: this.text.value.trim() } : {}), ...(more ? { cursor: this.cursor } : {}) });
    const found = await api("GET", `/api/clips?${asked}`);
    if (mine !== this.asked) return;
    this.cursor = found.cursor;
    const shown = found.clips.map((clip) => make("li", {}, this.drawn(clip)));
    if (more) this.list.lastElementChild.remove();
    this.list.replaceChildren(...(more ? this.list.children : []), ...shown);
    if (found.cursor) this.list.append(make("li", {}, make("button", { type: "button", className: "more", textContent: t("timeline_more") })));
    document.getElementById("strip-none").hidden = this.list.children.length > 0;
  }

  drawn(clip) {
    const time = clip.frames > 1 ? clock(clip.seconds) : clock(4);
    const picture = make("span", { className: "picture" }, make("img", { src: `/api/clips/${clip.id}/thumbnail?${clip.digest.slice(0, 8)}`, alt: "", loading: "lazy" }));
    if (clip.frames > 1) picture.append(make("span", { className: "time", textContent: time }));
    const button = make("button", { type: "button", draggable: true, clip }, picture, make("span", { className: "name", textContent: clip.title }));
    button.setAttribute("aria-label", t("timeline_add", { title: clip.title, time }));
    return button;
  }
}

if (page) {
  const track = new Track();
  const bar = document.querySelector(".timeline-bar");
  const dialog = document.getElementById("give");
  const click = (place, act) => place.querySelector(act)?.addEventListener("click", (event) => actions[act](event));
  const actions = {
    "[data-copy]": () => track.saving.then(() => named(track.timeline)),
    "[data-delete]": async () => { if (await ask(page.dataset.name, { text: t("timeline_delete") })) { await api("DELETE", track.address); location.href = "/timeline"; } },
    "[data-redo]": () => undo(true),
    "[data-export]": () => dialog.showModal(),
    "[data-film]": async () => { dialog.close(); await track.saving; await api("POST", `${track.address}/film`); toast(t("in_queue")); document.body.dispatchEvent(new CustomEvent("jobs")); },
  };
  for (const act of Object.keys(actions)) for (const place of [bar, dialog]) click(place, act);
  for (const button of dialog.querySelectorAll("[data-list]")) button.addEventListener("click", async () => {
    dialog.close();
    toast(t("exporting"));
    await track.saving;
    const made = await api("POST", `${track.address}/list`, { format: button.dataset.list });
    location.href = made.url;
    toast(t("exported", { name: made.name }));
  });
  dialog.querySelector("[data-file]").addEventListener("click", () => dialog.close());
  document.getElementById("which").addEventListener("change", (event) => open(event.target.value));
  const file = track.film.querySelector("input[type=file]");
  track.film.querySelector("[data-send]").addEventListener("click", () => file.click());
  file.addEventListener("change", async () => {
    for (const one of file.files) {
      const sound = await api("POST", `/api/sounds?name=${encodeURIComponent(one.name)}`, one);
      const [field, value] = [track.film.elements.music, `sent:${sound.id}`];
      if (![...field.options].some((option) => option.value === value)) field.append(new Option(`${sound.name} · ${clock(sound.seconds)}`, value));
      field.value = value;
      track.setFilm("music");
    }
    file.value = "";
  });
  await track.load();
  new Strip(track);
}
