// The entrance: the token stands behind # in the address, now or when it is pasted there, or is typed in.

import { message, t } from "./app.js";

const form = document.getElementById("enter");

async function enter(token) {
  const answer = await fetch("/api/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
  if (answer.ok) location.replace("/");
  else document.getElementById("problem").textContent = answer.status === 401 ? t("wrong_token") : message((await answer.json()).problem);
}

form.addEventListener("submit", (event) => { event.preventDefault(); enter(form.elements.token.value); });

function arrive() {
  const token = location.hash.slice(1);
  if (token) { history.replaceState(null, "", "/enter"); enter(token); }
}

addEventListener("hashchange", arrive);
arrive();
