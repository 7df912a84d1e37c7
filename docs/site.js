// The page of every message: a field that leaves what holds all its words.
const wanted = document.getElementById("messages-find");

if (wanted) {
  const rows = [...document.querySelectorAll("table.messages tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
  const tables = [...document.querySelectorAll("table.messages")];
  const headings = tables.map((table) => {
    let above = table.closest(".md-typeset__scrollwrap") ?? table;
    while (above && above.tagName !== "H2") above = above.previousElementSibling;
    return above;
  });
  const found = document.getElementById("messages-found");

  wanted.addEventListener("input", () => {
    const words = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) count += 1;
    }
    tables.forEach((table, number) => {
      const none = !table.querySelector("tbody tr:not([hidden])");
      table.hidden = none;
      if (headings[number]) headings[number].hidden = none;
    });
    found.value = words.length ? `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : "";
  });
}
