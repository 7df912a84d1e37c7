// One clip on a screen: scrubber, loop, speed, frame by frame.

export class Player {
  constructor(element) {
    this.video = element.querySelector("video");
    this.fps = Number(element.dataset.fps) || 25;
    this.frames = Number(element.dataset.frames) || 1;
    if (!this.video) return;
    this.scrub = element.querySelector(".scrub");
    this.place = element.querySelector(".place");
    this.button = element.querySelector("[data-play]");
    this.scrub?.addEventListener("input", () => { this.video.pause(); this.show(Number(this.scrub.value)); });
    this.button?.addEventListener("click", () => this.toggle());
    for (const step of element.querySelectorAll("[data-step]")) step.addEventListener("click", () => this.step(Number(step.dataset.step)));
    element.querySelector("[data-loop]")?.addEventListener("click", (event) => { this.video.loop = !this.video.loop; event.currentTarget.setAttribute("aria-pressed", String(this.video.loop)); });
    element.querySelector("[data-speed]")?.addEventListener("change", (event) => { this.video.playbackRate = Number(event.target.value); });
    for (const name of ["play", "pause"]) this.video.addEventListener(name, () => this.draw());
    const follow = () => { this.told(); this.video.requestVideoFrameCallback?.(follow); };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(follow);
    this.video.addEventListener("timeupdate", () => this.told());
    this.video.play().catch(() => {});
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
    if (this.video.paused) this.video.play();
    else this.video.pause();
  }

  told(frame = this.frame) {
    if (!this.scrub) return;
    this.scrub.value = frame;
    this.place.textContent = `${frame + 1} / ${this.frames}`;
  }

  draw() {
    if (!this.button) return;
    this.button.querySelector("use").setAttribute("href", `/static/icons.svg#${this.video.paused ? "play" : "pause"}`);
    this.button.setAttribute("aria-label", this.video.paused ? this.button.dataset.start : this.button.dataset.pause);
  }
}
