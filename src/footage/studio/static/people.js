// Accounts: what a form, a button or a list asks of the interface stands in its data; what is shown once is shown here.

import { api, t, toast, toastLater } from "./app.js";

const once = document.getElementById("once");

async function asked(element, body) {
  const [method, path] = element.dataset.asks.split(" ");
  const answer = await api(method, path, body);
  const secret = answer.secret ?? answer.url;
  if (secret) {
    once.hidden = false;
    const field = once.querySelector("input");
    field.value = secret;
    field.focus();
    field.select();
    once.scrollIntoView({ block: "nearest" });
  } else if (element.dataset.to) {
    location.href = element.dataset.to;
  } else {
    toastLater(t("saved"));
    location.reload();
  }
}

document.addEventListener("submit", async (event) => {
  if (!event.target.dataset.asks) return;
  event.preventDefault();
  await asked(event.target, Object.fromEntries(new FormData(event.target)));
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.asks) await asked(button, button.dataset.body && JSON.parse(button.dataset.body));
  if (button?.dataset.done !== undefined) location.reload();
  if (button?.dataset.copy !== undefined) {
    const field = once.querySelector("input");
    field.select();
    await navigator.clipboard?.writeText(field.value); // without encryption browsers give no clipboard; it is selected
    toast(t(navigator.clipboard ? "copied" : "copy_key"));
  }
});

document.addEventListener("change", async (event) => {
  if (!event.target.matches("select[data-asks]")) return;
  try {
    await asked(event.target, { role: event.target.value });
  } catch {
    event.target.value = event.target.querySelector("[selected]").value; // as it was
  }
});
