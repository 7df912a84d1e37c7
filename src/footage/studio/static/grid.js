import { pause } from "./app.js";
import { still } from "./player.js";

// The grid: of any number of clips only those in sight are in the page. Pictures stand whole in rows of one width, or fill
// cells of one size and are cropped.

const CAPTION = 49; // pixels under each picture, and what lies around it
const AROUND = 8; // pixels beside each picture: borders and padding of its card
const CELL = 4 / 3; // shape of a cell, and of a picture whose shape is not known yet
const [NARROW, WIDE] = [0.6, 3]; // what is narrower or wider is cropped in a row too
const BEYOND = 2; // rows that are kept ready above and below
const ASKED = 120; // cards that are fetched at once
const KEPT = 900; // cards that are remembered

export class Grid {
  // Of pictures that are whole or cropped.
  constructor(element, uncropped) {
    this.element = element;
    this.uncropped = uncropped;
    this.cards = new Map();
    this.current = 0;
    this.selected = new Set();
    this.asked = new Set();
    for (const card of [...element.querySelectorAll(".card")]) this.cards.set(Number(card.dataset.id), card);
    this.ids = [...this.cards.keys()];
    this.shapes = new Map(); // width over height of each clip's picture
    this.known = 0; // changes with what the rows follow from
    this.rows = null;
    for (const [id, card] of this.cards) this.shape(id, card);
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
    this.known++;
    this.current = Math.min(this.current, Math.max(0, ids.length - 1));
    this.place();
  }

  shape(id, card) {
    const picture = card.querySelector("img");
    const shape = picture.getAttribute("width") / picture.getAttribute("height");
    if (shape > 0) this.shapes.set(id, shape);
  }

  // Where the rows lie: the place of the first clip of each, its top and the height of its pictures.
  measure() {
    const width = this.element.clientWidth;
    const wanted = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--card")) || 220;
    const now = [width, wanted, this.uncropped, this.ids.length, this.uncropped && this.known].join();
    if (now === this.measured) return;
    this.measured = now;
    const least = Math.min(wanted, (width - this.gap) / 2);
    this.rows = this.uncropped ? this.justified(width, (least - AROUND) / CELL) : this.cells(width, least);
  }

  cells(width, least) {
    const columns = Math.max(1, Math.floor((width + this.gap) / (least + this.gap)));
    const wide = (width - this.gap * (columns - 1)) / columns - AROUND;
    const high = Math.round(wide / CELL);
    const rows = [];
    for (let first = 0, top = 0; first < this.ids.length; first += columns, top += high + CAPTION + this.gap) rows.push({ first, top, high, shape: wide / high });
    return rows;
  }

  // Rows as high as is wanted at most, each as wide as the grid but the last.
  justified(width, wanted) {
    const rows = [];
    let [first, sum, top] = [0, 0, 0];
    for (let place = 0; place < this.ids.length; place++) {
      sum += this.shapeAt(place);
      const room = width - AROUND * (place + 1 - first) - this.gap * (place - first);
      const last = place === this.ids.length - 1;
      if (sum * wanted < room && !last) continue;
      const high = Math.max(40, Math.min(wanted, room / sum));
      rows.push({ first, top, high });
      top += high + CAPTION + this.gap;
      [first, sum] = [place + 1, 0];
    }
    return rows;
  }

  shapeAt(place) {
    return Math.max(NARROW, Math.min(WIDE, this.shapes.get(this.ids[place]) ?? CELL));
  }

  // The number of the row that a place is in, or, with "top", that lies at a height.
  row(at, by = "first") {
    let [low, high] = [0, this.rows.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle][by] <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  endOf(row) {
    return this.rows[row + 1]?.first ?? this.ids.length;
  }

  // Left edge and width of a card.
  across(place) {
    const row = this.rows[this.row(place)];
    let left = 0;
    const wide = (at) => (row.shape ?? this.shapeAt(at)) * row.high + AROUND;
    for (let at = row.first; at < place; at++) left += wide(at) + this.gap;
    return [left, wide(place)];
  }

  // The place above or below, by so many rows: the one whose middle is nearest.
  beside(by) {
    if (!this.ids.length) return 0;
    const here = this.row(this.current);
    const there = Math.max(0, Math.min(this.rows.length - 1, here + by));
    if (there === here) return by < 0 ? 0 : this.ids.length - 1;
    const middle = ([left, width]) => left + width / 2;
    const mine = middle(this.across(this.current));
    let best = this.rows[there].first;
    for (let at = best; at < this.endOf(there); at++) if (Math.abs(middle(this.across(at)) - mine) < Math.abs(middle(this.across(best)) - mine)) best = at;
    return best;
  }

  arrange(uncropped) {
    this.uncropped = uncropped;
    this.place();
  }

  place() {
    if (!this.element.isConnected) return this.end();
    this.measure();
    const bottom = this.rows.at(-1);
    this.element.style.height = `${bottom ? bottom.top + bottom.high + CAPTION : 0}px`;
    const top = -this.element.getBoundingClientRect().top;
    const first = bottom ? this.rows[Math.max(0, this.row(top, "top") - BEYOND)].first : 0;
    const last = bottom ? this.endOf(Math.min(this.rows.length - 1, this.row(top + innerHeight, "top") + BEYOND)) : 0;
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
    const row = this.rows[this.row(place)];
    const [left, width] = this.across(place);
    card.style.width = `${width}px`;
    card.style.height = `${row.high + CAPTION}px`;
    card.style.transform = `translate(${left}px, ${row.top}px)`;
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
        if (answer.ok && !answer.redirected) {
          const taken = this.take(await answer.text());
          const gone = part.filter((id) => !taken.has(id)); // for good, or they would be asked for again and again
          if (gone.length) { this.drop(gone); this.lost?.(); }
        } else await pause(answer.headers.get("retry-after"));
      } finally {
        part.forEach((id) => this.asked.delete(id));
      }
    }
    this.placed();
  }

  take(text) {
    const parsed = new DOMParser().parseFromString(text, "text/html");
    const taken = new Set();
    for (const card of parsed.querySelectorAll(".card")) {
      const old = this.cards.get(Number(card.dataset.id));
      const now = document.importNode(card, true);
      if (old?.isConnected) old.replaceWith(now);
      this.cards.set(Number(card.dataset.id), now);
      taken.add(Number(card.dataset.id));
      if (!this.shapes.has(Number(card.dataset.id))) { this.shape(Number(card.dataset.id), now); this.known++; }
    }
    return taken;
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
    this.reveal();
    this.place();
    this.hover(this.card());
  }

  // Bring the clip that is looked at between the bars above and below.
  reveal() {
    this.measure();
    const row = this.rows[this.row(this.current)];
    const top = this.element.getBoundingClientRect().top + row.top;
    const bottom = top + row.high + CAPTION + this.gap;
    const above = document.querySelector(".bar").getBoundingClientRect().bottom + 8;
    if (top < above) window.scrollBy({ top: top - above });
    else if (bottom > innerHeight - 70) window.scrollBy({ top: bottom - innerHeight + 70 });
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
    this.known++;
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
