// The effects of a clip on its page: a chain that is put together, looked at, and kept.

import { api, message, t, toast, toastLater } from "./app.js";
import { play, still } from "./player.js";

const FOLLOWED = 700; // milliseconds between two looks at how a job goes

class Chain {
  constructor(place) {
    this.place = place;
    this.id = Number(document.querySelector(".clip-page").dataset.id);
    [this.form, this.list] = [place.querySelector("form"), place.querySelector(".chain")];
    [this.screen, this.video, this.told] = [place.querySelector(".screen"), place.querySelector("video"), place.querySelector("[data-told]")];
    this.asked = 0;
    for (const effect of JSON.parse(place.dataset.chain)) this.add(effect);
    this.listen();
    this.draw();
  }

  get items() { return [...this.list.children]; }

  name(item) { return item.querySelector("legend").textContent; }

  add({ kind, ...knobs }) {
    const item = this.place.querySelector(`template[data-form="${kind}"]`).content.firstElementChild.cloneNode(true);
    item.dataset.kind = kind;
    for (const field of item.querySelectorAll("[data-knob]")) {
      const name = field.dataset.knob;
      if (name === "ramp") for (const point of knobs.ramp ?? [[0, 1], [2, 0.5]]) this.addPoint(field, point);
      else if (name in knobs) field.value = knobs[name];
    }
    this.list.append(item);
    return item;
  }

  addPoint(ramp, [at, times]) {
    const point = ramp.querySelector("template").content.firstElementChild.cloneNode(true);
    [point.querySelector("[data-at]").value, point.querySelector("[data-times]").value] = [at, times];
    ramp.querySelector("ol").append(point);
    return point;
  }

  // The chain as its file has it.
  get chain() {
    const effects = this.items.map((item) => {
      const knobs = [...item.querySelectorAll("[data-knob]")].map((field) => {
        if (field.dataset.knob !== "ramp") return [field.dataset.knob, field.type === "number" ? Number(field.value) : field.value];
        return ["ramp", [...field.querySelectorAll("li")].map((point) => ["at", "times"].map((name) => Number(point.querySelector(`[data-${name}]`).value)))];
      });
      return { kind: item.dataset.kind, ...Object.fromEntries(knobs) };
    });
    return { version: 1, effects };
  }

  // What was looked at is no longer what stands there.
  draw() {
    const some = this.items.length > 0;
    this.place.querySelector("[data-none]").hidden = some;
    this.place.querySelector("[data-with]").hidden = !some;
    this.items.forEach((item, number) => {
      item.querySelector("[data-shift='-1']").disabled = number === 0;
      item.querySelector("[data-shift='1']").disabled = number === this.items.length - 1;
    });
    this.asked++;
    this.video.pause();
    this.screen.hidden = true;
    this.told.textContent = "";
  }

  shift(item, by) {
    const number = this.items.indexOf(item) + by;
    const other = this.items[number];
    if (by < 0) other.before(item);
    else other.after(item);
    this.draw();
    const button = item.querySelector(`[data-shift="${by}"]`);
    (button.disabled ? item.querySelector(`[data-shift="${-by}"]`) : button).focus();
    this.told.textContent = t("timeline_moved", { title: this.name(item), n: number + 1, of: this.items.length });
  }

  drop(item) {
    const number = this.items.indexOf(item);
    item.remove();
    this.draw();
    (this.items[Math.min(number, this.items.length - 1)]?.querySelector("[data-drop]") ?? this.place.querySelector("[data-add]")).focus();
    this.told.textContent = t("timeline_removed", { title: this.name(item) });
  }

  async sendTable(item, file) {
    const table = await api("POST", `/api/tables?name=${encodeURIComponent(file.name)}`, file);
    const choices = [this.place.querySelector("template[data-form=grade]").content, ...this.items].map((part) => part.querySelector("[data-knob=lut]"));
    for (const choice of choices) if (choice && !choice.querySelector(`[value="${table.lut}"]`)) choice.append(Object.assign(document.createElement("option"), { value: table.lut, textContent: table.name }));
    item.querySelector("[data-knob=lut]").value = table.lut;
    this.draw();
  }

  async preview() {
    if (!this.form.reportValidity()) return;
    this.draw();
    const mine = this.asked;
    this.told.textContent = t("effects_rendering");
    try {
      const draft = await api("POST", `/api/clips/${this.id}/effects/draft`, { chain: this.chain }, { quiet: true });
      if (mine !== this.asked) return;
      this.video.src = draft.url;
      this.screen.hidden = false;
      this.told.textContent = t("effects_draft");
      if (!still()) play(this.video);
    } catch (error) {
      if (mine === this.asked) this.told.textContent = error.message;
    }
  }

  // Keep the chain, and go where what comes of it is.
  async save(change) {
    const buttons = [...this.place.querySelectorAll("[data-save]")];
    for (const button of buttons) button.disabled = true;
    try {
      let job = await api("POST", "/api/jobs/effects", { clip: this.id, chain: this.chain, change });
      toast(t("in_queue"));
      document.body.dispatchEvent(new CustomEvent("jobs"));
      while (["queued", "running"].includes(job.state)) {
        await new Promise((wake) => { setTimeout(wake, FOLLOWED); });
        job = await api("GET", `/api/jobs/${job.id}`, undefined, { quiet: true });
        const progress = /^\d/.test(job.message) ? job.message : "";
        this.told.textContent = `${t(job.state)} ${progress}`;
      }
      if (job.state === "failed") this.told.textContent = message(job.message);
      if (job.state !== "done") return;
      toastLater(t(change ? "saved" : "effects_kept"), true);
      if (change) location.reload();
      else location.href = `/clip/${job.result.clips[0]}`;
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }

  listen() {
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.save(event.submitter?.dataset.save === "change"); });
    this.form.addEventListener("input", (event) => { if (event.target.dataset.choose === undefined && event.target.type !== "file") this.draw(); });
    this.form.addEventListener("change", (event) => { const [file] = event.target.files ?? []; if (file) this.sendTable(event.target.closest(".chain > li"), file); });
    this.form.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const [item, point] = [button.closest(".chain > li"), button.closest(".ramp li")];
      if (button.dataset.add !== undefined) { const added = this.add({ kind: this.place.querySelector("[data-choose]").value }); this.draw(); added.querySelector("input:not([hidden]), select, button").focus(); this.told.textContent = t("timeline_added", { title: this.name(added), n: this.items.length }); }
      if (button.dataset.shift) this.shift(item, Number(button.dataset.shift));
      if (button.dataset.drop !== undefined) this.drop(item);
      if (button.dataset.point !== undefined) { const last = [...item.querySelectorAll(".ramp li [data-at]")].at(-1); this.addPoint(item.querySelector(".ramp"), [Number(last?.value ?? -1) + 1, 1]).querySelector("input").focus(); this.draw(); }
      if (point && button.dataset.dropPoint !== undefined) { point.remove(); this.draw(); }
      if (button.dataset.sendTable !== undefined) item.querySelector("input[type=file]").click();
      if (button.dataset.preview !== undefined) this.preview();
    });
  }
}

const place = document.getElementById("effects");
if (place) new Chain(place);
