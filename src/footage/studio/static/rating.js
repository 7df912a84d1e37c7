// A blind comparison: two clips of whose makers nothing is told, asked about one respect after the other.

import { api, t, typing } from "./app.js";
import { play, still } from "./player.js";

const page = document.getElementById("rating");
const questions = ["fidelity", "motion"];
const rater = document.getElementById("rater");
let pair = null;
let question = 0;
let busy = true;
rater.value = localStorage.getItem("rater") ?? "";
rater.addEventListener("change", () => localStorage.setItem("rater", rater.value));

async function draw() {
  try {
    pair = await api("POST", "/api/ratings/pairs", { campaign: page.dataset.campaign, models: JSON.parse(page.dataset.models) }, { quiet: true });
  } catch (error) {
    document.getElementById("problem").textContent = error.status ? error.message : t("lost");
    for (const part of page.querySelectorAll(".beside, .verdicts, .narrow, h1")) part.hidden = true; // there is nothing to answer
    document.getElementById("ways-on").hidden = false;
    return;
  }
  for (const [number, side] of ["a", "b"].entries()) {
    const screen = pair.kinds[number] === "video" ? Object.assign(document.createElement("video"), { src: pair[side], loop: true, muted: true, playsInline: true, controls: still() }) : Object.assign(new Image(), { src: pair[side] });
    if (pair.kinds[number] === "video" && !still()) play(screen);
    screen.setAttribute("aria-label", t(side === "a" ? "left_better" : "right_better"));
    document.getElementById(`side-${side}`).replaceChildren(screen);
  }
  document.getElementById("answers").textContent = t("answers", { n: pair.answers });
  asked(0);
}

function asked(number) {
  question = number;
  document.getElementById("question").textContent = t(`ask_${questions[number]}`);
  page.dataset.question = questions[number];
  busy = false;
}

async function answer(choice) {
  if (busy || !pair) return;
  busy = true;
  try {
    await api("POST", `/api/ratings/pairs/${pair.pair}`, { question: questions[question], choice, rater: rater.value });
  } catch (error) {
    if (error.status !== 404) { busy = false; return; }
    question = questions.length;
  }
  if (question + 1 < questions.length) asked(question + 1);
  else await draw();
}

page.addEventListener("click", (event) => { const choice = event.target.closest("[data-choice]")?.dataset.choice; if (choice) answer(choice); });
document.addEventListener("keydown", (event) => {
  const choice = { ArrowLeft: "a", ArrowRight: "b", ArrowDown: "tie" }[event.key];
  if (choice && !typing(event) && !event.repeat) { event.preventDefault(); answer(choice); }
});
draw();
