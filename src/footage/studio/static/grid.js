import { pause } from "./app.js";
import { still } from "./player.js";

// The grid: of any number of clips only those in sight are in the page.

const CAPTION = 48; // pixels under each picture
const BEYOND = 2; // rows that are kept ready above and below
const ASKED = 120; // cards that are fetched at once
const KEPT = 900; // cards that are remembered

export class Grid {
  constructor(element, ids) {
    this.element = element;
    this.cards = new Map();
    this.current = 0;
    this.selected = new Set();
    this.asked = new Set();
    for (const card of [...element.querySelectorAll(".card")]) this.cards.set(Number(card.dataset.id), card);
    this.ids = ids ?? [...this.cards.keys()];
    this.gap = 10;
    this.video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true });
    this.placed = () => requestAnimationFrame(() => this.place());
    window.addEventListener("scroll", this.placed, { passive: true });
    this.watcher = new ResizeObserver(this.placed);
    this.watcher.observe(element.parentElement);
    element.addEventListener("pointerover", (event) => this.hover(event.target.closest(".card")));
    element.addEventListener("pointerleave", () => this.still());
    element.classList.add("placed");
    this.place();
  }

  end() {
    window.removeEventListener("scroll", this.placed);
    this.watcher.disconnect();
    this.still();
  }

  // All numbers of the query, in order: from now on every clip has its place.
  fill(ids) {
    this.ids = ids;
    this.current = Math.min(this.current, Math.max(0, ids.length - 1));
    this.place();
  }

  measure() {
    const width = this.element.clientWidth;
    const wanted = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--card")) || 220;
    const least = Math.min(wanted, (width - this.gap) / 2);
    this.columns = Math.max(1, Math.floor((width + this.gap) / (least + this.gap)));
    this.width = (width - this.gap * (this.columns - 1)) / this.columns;
    this.height = Math.round(((this.width - 8) * 3) / 4) + CAPTION + this.gap;
  }

  place() {
    if (!this.element.isConnected) return this.end();
    this.measure();
    const rows = Math.ceil(this.ids.length / this.columns);
    this.element.style.height = `${rows * this.height}px`;
    const top = -this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / this.height) - BEYOND) * this.columns;
    const last = Math.min(this.ids.length, (Math.ceil((top + innerHeight) / this.height) + BEYOND) * this.columns);
    const shown = new Set();
    const lacking = [];
    for (let place = first; place < last; place++) {
      const id = this.ids[place];
      const card = this.cards.get(id);
      if (!card) {
        if (!this.asked.has(id)) lacking.push(id);
        continue;
      }
      shown.add(card);
      this.put(card, place);
    }
    for (const card of [...this.element.children]) if (!shown.has(card)) card.remove();
    for (const card of shown) if (card.parentElement !== this.element) this.element.append(card);
    if (lacking.length) this.fetch(lacking);
    if (!this.whole && last > this.ids.length - ASKED) this.wanted?.();
    if (this.cards.size > KEPT) for (const [id, card] of this.cards) if (!shown.has(card) && this.cards.size > KEPT / 2) this.cards.delete(id);
  }

  put(card, place) {
    const x = (place % this.columns) * (this.width + this.gap);
    const y = Math.floor(place / this.columns) * this.height;
    card.style.width = `${this.width}px`;
    card.style.height = `${this.height - this.gap}px`;
    card.style.transform = `translate(${x}px, ${y}px)`;
    card.setAttribute("aria-posinset", place + 1);
    card.setAttribute("aria-setsize", this.ids.length);
    card.setAttribute("aria-selected", String(this.selected.has(this.ids[place])));
    card.classList.toggle("current", place === this.current);
    if (place === this.current) this.element.setAttribute("aria-activedescendant", card.id);
  }

  async fetch(ids) {
    for (let first = 0; first < ids.length; first += ASKED) {
      const part = ids.slice(first, first + ASKED);
      part.forEach((id) => this.asked.add(id));
      try {
        const answer = await fetch(`/parts/cards?${part.map((id) => `ids=${id}`).join("&")}`);
        if (answer.ok) this.take(await answer.text());
        else await pause(answer.headers.get("retry-after"));
      } finally {
        part.forEach((id) => this.asked.delete(id));
      }
    }
    this.placed();
  }

  take(text) {
    const parsed = new DOMParser().parseFromString(text, "text/html");
    for (const card of parsed.querySelectorAll(".card")) {
      const old = this.cards.get(Number(card.dataset.id));
      const now = document.importNode(card, true);
      if (old?.isConnected) old.replaceWith(now);
      this.cards.set(Number(card.dataset.id), now);
    }
  }

  async renew(ids) {
    const known = ids.filter((id) => this.cards.has(id));
    if (known.length) await this.fetch(known);
  }

  get id() {
    return this.ids[this.current];
  }

  card(id = this.id) {
    return this.cards.get(id);
  }

  go(place, { select = false } = {}) {
    if (!this.ids.length) return;
    const from = this.current;
    this.current = Math.max(0, Math.min(this.ids.length - 1, place));
    if (select) for (let i = Math.min(from, this.current); i <= Math.max(from, this.current); i++) this.selected.add(this.ids[i]);
    const top = this.element.getBoundingClientRect().top + Math.floor(this.current / this.columns) * this.height;
    const above = 76;
    if (top < above) window.scrollBy({ top: top - above });
    else if (top + this.height > innerHeight - 70) window.scrollBy({ top: top + this.height - innerHeight + 70 });
    this.place();
    this.hover(this.card());
  }

  pick(id, { range = false, only = false } = {}) {
    const place = this.ids.indexOf(id);
    if (only) this.selected.clear();
    if (range) for (let i = Math.min(place, this.current); i <= Math.max(place, this.current); i++) this.selected.add(this.ids[i]);
    else if (this.selected.has(id)) this.selected.delete(id);
    else this.selected.add(id);
    this.current = place;
    this.place();
  }

  // Take clips away that are no longer found; where one stood is the next one then.
  drop(ids) {
    const gone = new Set(ids);
    const before = this.ids.slice(0, this.current).filter((id) => !gone.has(id)).length;
    const left = this.ids.filter((id) => !gone.has(id));
    if (this.element.dataset.total !== "") this.element.dataset.total -= this.ids.length - left.length;
    this.ids = left;
    ids.forEach((id) => this.selected.delete(id));
    this.current = Math.min(before, Math.max(0, this.ids.length - 1));
    this.place();
  }

  hover(card) {
    if (card === this.playing) return;
    this.still();
    if (!card || still()) return;
    this.playing = card;
    const frame = card.querySelector(".frame");
    if (card.dataset.kind === "video") {
      this.video.src = `/api/clips/${card.dataset.id}/file?${card.dataset.digest}`;
      this.video.className = "moving";
      frame.append(this.video);
      this.video.play().catch(() => {});
    } else {
      const kind = card.dataset.kind === "image" ? "file" : "preview";
      const moving = Object.assign(new Image(), { src: `/api/clips/${card.dataset.id}/${kind}?${card.dataset.digest}`, alt: "" });
      moving.className = "moving";
      frame.append(moving);
    }
  }

  still() {
    this.playing?.querySelector(".moving")?.remove();
    if (this.video.src) {
      this.video.pause();
      this.video.removeAttribute("src");
      this.video.load();
    }
    this.playing = null;
  }
}
