// One clip on a screen: scrubber, loop, speed, frame by frame, time code, sound, full screen.

const reduced = matchMedia("(prefers-reduced-motion: reduce)");
export const still = () => reduced.matches; // somebody has asked for as little motion as possible

// Sound is off until it is switched on, as browsers want it; what was chosen is remembered, for every clip.
export function hear(video) {
  const volume = Number(localStorage.getItem("volume") ?? 1);
  video.volume = volume >= 0 && volume <= 1 ? volume : 1;
  video.muted = localStorage.getItem("sound") !== "on";
}

export function setSound(video, on) {
  localStorage.setItem("sound", on ? "on" : "off");
  if (on && Number(localStorage.getItem("volume")) === 0) localStorage.removeItem("volume");
  hear(video);
}

export function drawSound(button, silent) {
  button.querySelector("use").setAttribute("href", `/static/icons.svg#${silent ? "silent" : "sound"}`);
  button.setAttribute("aria-label", silent ? button.dataset.on : button.dataset.off);
}

// Play; where the browser allows no sound before somebody does something, silently until then.
export async function play(video) {
  try {
    await video.play();
  } catch (error) {
    if (error.name !== "NotAllowedError" || video.muted) return;
    video.muted = true;
    await video.play().catch(() => {});
    const gestures = new AbortController();
    for (const name of ["click", "keydown"]) document.addEventListener(name, (event) => {
      if (navigator.userActivation?.hasBeenActive === false) return;
      gestures.abort();
      if (!event.target.closest?.("[data-sound], [data-volume]") && event.key?.toLowerCase() !== "m") hear(video);
    }, { signal: gestures.signal });
  }
}

// Pictures that move stand still where little motion is asked for, until they are told to move.
export function moves(element) {
  element.querySelector("source")?.remove();
  element.querySelector("[data-moves]")?.remove();
}

// What a browser cannot play after all is shown by its moving preview.
export function preview(video) {
  const picture = Object.assign(new Image(), { src: video.dataset.preview, alt: video.getAttribute("aria-label") ?? "" });
  video.replaceWith(picture);
  return picture;
}

// A frame's SMPTE time code; at 30000/1001 and 60000/1001 numbers are dropped, so that it keeps to the clock (ST 12-1).
export function timecode(frame, fps) {
  const rate = Math.max(1, Math.round(fps));
  const dropped = rate % 30 === 0 && Math.abs(fps - rate / 1.001) < 0.005 ? rate / 15 : 0;
  if (dropped) {
    const ten = 600 * rate - 9 * dropped;
    const rest = frame % ten;
    frame += 9 * dropped * Math.floor(frame / ten) + (rest < dropped ? 0 : dropped * Math.floor((rest - dropped) / (60 * rate - dropped)));
  }
  const seconds = Math.floor(frame / rate);
  const [hours, minutes, rest, number] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60, frame % rate].map((part) => String(part).padStart(2, "0"));
  return `${hours}:${minutes}:${rest}${dropped ? ";" : ":"}${number}`;
}

export class Player {
  constructor(element) {
    this.element = element;
    this.video = element.querySelector("video");
    this.fps = Number(element.dataset.fps) || 25;
    this.frames = Number(element.dataset.frames) || 1;
    element.querySelector("[data-moves]")?.addEventListener("click", () => moves(element));
    if (!this.video) return;
    this.scrub = element.querySelector(".scrub");
    this.place = element.querySelector(".place");
    this.code = element.querySelector(".timecode");
    this.button = element.querySelector("[data-play]");
    this.sound = element.querySelector("[data-sound]");
    this.volume = element.querySelector("[data-volume]");
    this.full = element.querySelector("[data-full]");
    this.scrub?.addEventListener("input", () => { this.video.pause(); this.show(Number(this.scrub.value)); });
    this.button?.addEventListener("click", () => this.toggle());
    for (const step of element.querySelectorAll("[data-step]")) step.addEventListener("click", () => this.step(Number(step.dataset.step)));
    element.querySelector("[data-loop]")?.addEventListener("click", (event) => { this.video.loop = !this.video.loop; event.currentTarget.setAttribute("aria-pressed", String(this.video.loop)); });
    element.querySelector("[data-speed]")?.addEventListener("change", (event) => { this.video.playbackRate = Number(event.target.value); });
    this.sound?.addEventListener("click", () => this.toggleSound());
    this.volume?.addEventListener("input", () => { localStorage.setItem("volume", this.volume.value); localStorage.setItem("sound", Number(this.volume.value) ? "on" : "off"); hear(this.video); });
    if (this.full) {
      this.full.hidden = !document.fullscreenEnabled && !this.video.webkitEnterFullscreen;
      this.full.addEventListener("click", () => this.toggleFull());
    }
    this.video.addEventListener("click", () => this.toggle());
    for (const name of ["play", "pause", "volumechange"]) this.video.addEventListener(name, () => this.draw());
    const follow = () => { this.told(); this.video.requestVideoFrameCallback?.(follow); };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(follow);
    this.video.addEventListener("timeupdate", () => this.told());
    this.video.addEventListener("error", () => this.unplayable());
    if (this.video.error) return this.unplayable();
    if (this.sound) hear(this.video);
    if (!still()) play(this.video);
    this.told();
    this.draw();
  }

  get frame() {
    return Math.min(this.frames - 1, Math.max(0, Math.floor(this.video.currentTime * this.fps + 0.01)));
  }

  show(frame) {
    this.video.currentTime = (Math.min(this.frames - 1, Math.max(0, frame)) + 0.5) / this.fps;
    this.told(frame);
  }

  step(by) {
    this.video.pause();
    this.show((this.frame + by + this.frames) % this.frames);
  }

  toggle() {
    if (this.video.paused) play(this.video);
    else this.video.pause();
  }

  toggleSound() {
    if (this.sound) setSound(this.video, this.video.muted);
  }

  toggleFull() {
    if (this.full?.hidden ?? true) return;
    if (document.fullscreenElement) document.exitFullscreen();
    else if (this.element.requestFullscreen) this.element.requestFullscreen();
    else this.video.webkitEnterFullscreen();
  }

  unplayable() {
    if (!this.video) return;
    preview(this.video);
    this.video = null;
    for (const part of this.element.querySelectorAll(".scrub, .controls")) part.remove();
    this.element.querySelector("[data-unplayable]").hidden = false;
  }

  told(frame = this.frame) {
    if (!this.scrub) return;
    this.scrub.value = frame;
    this.place.textContent = `${frame + 1} / ${this.frames}`;
    this.code.textContent = timecode(frame, this.fps);
  }

  draw() {
    if (!this.button) return;
    this.button.querySelector("use").setAttribute("href", `/static/icons.svg#${this.video.paused ? "play" : "pause"}`);
    this.button.setAttribute("aria-label", this.video.paused ? this.button.dataset.start : this.button.dataset.pause);
    if (!this.sound) return;
    const silent = this.video.muted || this.video.volume === 0;
    drawSound(this.sound, silent);
    this.volume.value = silent ? 0 : this.video.volume;
  }
}
