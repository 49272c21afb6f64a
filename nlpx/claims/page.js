"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].textContent.trim();
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) =>
        value(a, column).localeCompare(value(b, column), "en", { numeric: true }));
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
for (const map of document.querySelectorAll("figure.map")) {
  const output = map.querySelector("output");
  const cells = [...map.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("td")]);
  const show = (event) => {
    const cell = event.target.closest("tbody td");
    if (cell) output.textContent = cell.getAttribute("aria-label");
  };
  map.addEventListener("pointerover", show);
  map.addEventListener("focusin", show);
  map.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const row = cells.findIndex((each) => each.includes(event.target));
    if (!step || row < 0) return;
    const next = cells[row + step[0]]?.[cells[row].indexOf(event.target) + step[1]];
    event.preventDefault();
    if (!next) return;
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}
