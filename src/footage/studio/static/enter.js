// The entrance: a name and a password; or a token, or an invitation, that stands behind # in the address, now or when it is
// pasted there.

import { message, t } from "./app.js";

const form = document.querySelector("#enter, #join");
let invitation = "";

async function enter(path, values) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) });
  if (answer.ok) return location.replace("/");
  const { problem, remedy } = await answer.json();
  const said = answer.status === 401 && "token" in values ? t("wrong_token") : message(problem ?? `${answer.status}`);
  document.getElementById("problem").textContent = remedy ? t("message_remedy", { problem: said, remedy: message(remedy) }) : said;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const values = Object.fromEntries(new FormData(form));
  if (form.id === "join") enter("/api/join", { ...values, invitation });
  else enter("/api/session", values);
});

function arrive() {
  const secret = location.hash.slice(1);
  if (!secret) return;
  history.replaceState(null, "", location.pathname + location.search);
  if (form.id === "join") invitation = secret;
  else if (form.elements.token) enter("/api/session", { token: secret });
}

addEventListener("hashchange", arrive);
arrive();
