"use strict";
// What is left of the page: copy buttons, the table that sorts, and the start of all figures.

function copyText(text) {
  // Pages opened from a file have no clipboard API in some browsers: a selection works there.
  const fallback = () => {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("readonly", "");
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  if (!navigator.clipboard) return Promise.resolve(fallback());
  return navigator.clipboard.writeText(text).then(() => true, () => fallback());
}

function startCopying() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const done = await copyText(document.getElementById(button.dataset.copy).textContent);
      button.focus();
      button.textContent = done ? "Copied" : "Select the text and press Ctrl+C";
      document.getElementById("announcer").textContent = button.textContent;
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}

function startTable() {
  const table = document.getElementById("trial-table");
  if (!table) return;
  const body = table.tBodies[0];
  const order = new Map(data.trials.map((trial, index) => [String(trial.number), index]));
  const rows = new Map([...body.rows].map((row) => [order.get(row.cells[1].textContent), row]));
  for (const [index, row] of rows) row.addEventListener("click", () => Picked.pick(index));
  let marked = null;
  Picked.listen((index) => {
    marked?.classList.remove("picked");
    marked = rows.get(index) ?? null;
    marked?.classList.add("picked");
  });
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...[...body.rows].sort((one, other) => compareCells(one.cells[column].textContent, other.cells[column].textContent, down)));
    });
  });
}

// Numbers by value, other text by its letters, missing values last.
function compareCells(one, other, down) {
  if (one === "–" || other === "–") return (one === "–") - (other === "–");
  const [left, right] = [Number(one), Number(other)];
  const numeric = !Number.isNaN(left) && !Number.isNaN(right);
  const found = numeric ? left - right : one.localeCompare(other);
  return down ? -found : found;
}

function start() {
  for (const controls of document.querySelectorAll(".controls")) controls.hidden = false;
  startCopying();
  startTable();
  Curves.start();
  Parallel.start();
  Slices.start();
  Course.start();
  document.getElementById("readout-close").addEventListener("click", () => Picked.pick(null));
  document.documentElement.dataset.ready = "yes";
}

start();
