// The tour in five steps, which is shown once to somebody who comes for the first time, and again when the help is asked for it.
// A modal dialog: what is behind it cannot be reached, and Esc closes it.

const tour = document.getElementById("tour");
const steps = [...tour.querySelectorAll("section")];
let step = 0;

function draw() {
  const narrow = matchMedia("(max-width: 860px)").matches;
  for (const [number, section] of steps.entries()) {
    section.hidden = number !== step;
    if (number === step) section.querySelector("h2").id = "tour-title";
    else section.querySelector("h2").removeAttribute("id");
  }
  const { to } = steps[step].dataset;
  for (const link of document.querySelectorAll(".rail a")) link.classList.toggle("shown", link.getAttribute("href") === to && !link.classList.contains("brand"));
  const shown = document.querySelector(".rail a.shown");
  shown?.scrollIntoView({ inline: "center", block: "nearest" });
  const beside = shown && !narrow ? shown.getBoundingClientRect() : null;
  tour.style.margin = beside ? "0" : "";
  tour.style.left = beside ? `${beside.right + 18}px` : "";
  tour.style.top = beside ? `${Math.max(12, Math.min(beside.top - 20, innerHeight - tour.offsetHeight - 12))}px` : "";
  document.getElementById("tour-place").textContent = tour.dataset.of.replace("{n}", step + 1).replace("{of}", steps.length);
  tour.querySelector("[data-turn='-1']").disabled = step === 0;
  const next = tour.querySelector("[data-turn='1']");
  next.textContent = step === steps.length - 1 ? next.dataset.done : next.dataset.next;
  next.focus();
}

function show() {
  step = 0;
  if (!tour.open) tour.showModal();
  draw();
}

function turn(by) {
  if (step + by >= steps.length) return tour.close();
  step = Math.max(0, step + by);
  draw();
}

tour.addEventListener("click", (event) => { const by = event.target.closest("[data-turn]")?.dataset.turn; if (by) turn(Number(by)); });
tour.addEventListener("keydown", (event) => { const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key]; if (by) turn(Math.max(by, -step)); });
tour.addEventListener("close", () => {
  localStorage.setItem("tour", "seen");
  for (const link of document.querySelectorAll(".rail a.shown")) link.classList.remove("shown");
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-tour]")) return;
  document.getElementById("keys").close();
  show();
});

// The first time is on the library's page, where nobody is in the midst of something.
if (location.pathname === "/" && !location.search && localStorage.getItem("tour") === null) show();
