"use strict";

/* Tables: a click on a head sorts by its column. Missing values come last. */
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value;
    const compare = (a, b) => isNaN(value(a)) || isNaN(value(b)) ? value(a).localeCompare(value(b)) : value(a) - value(b);
    const missing = row => value(row) === "";
    const order = (a, b) => missing(a) - missing(b) || (down ? compare(b, a) : compare(a, b));
    [...body.rows].sort(order).forEach(row => body.append(row));
  }));
}

/* Charts: each fills its place, again when the window changes; the legend shows and hides configurations in all. */
const page = JSON.parse(document.getElementById("data").textContent);
const narrow = window.matchMedia("(max-width: 600px)").matches;
const config = { ...page.config, axisY: { labelLimit: narrow ? 100 : 200 } };
const buttons = [...document.querySelectorAll("#legend button[data-configuration]")];
const views = [];

function shown() {
  return buttons.filter(button => button.getAttribute("aria-pressed") === "true").map(b => b.dataset.configuration);
}

function update({ view, rows, height }) {
  const names = shown();
  view.signal("shown", names);
  if (rows.length) {
    const left = rows.filter(([, configuration]) => names.includes(configuration)).map(([row]) => row);
    view.signal("rows", left).height(height * left.length / rows.length);
  }
  return view.runAsync();
}

function press(button, pressed) {
  button.setAttribute("aria-pressed", pressed);
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    press(button, button.getAttribute("aria-pressed") !== "true");
    views.forEach(update);
  });
}
for (const all of document.querySelectorAll("#legend button[data-all]")) {
  all.addEventListener("click", () => {
    buttons.forEach(button => press(button, all.dataset.all));
    views.forEach(update);
  });
}
for (const { place, spec, rows } of page.charts) {
  // Errors only: an axis without values, where a reader has hidden everything, is none.
  const options = { actions: false, renderer: "svg", config, logLevel: 1 };
  vegaEmbed(document.getElementById(place), { ...spec, datasets: { ...spec.datasets, ...page.datasets } }, options).then(({ view }) => {
    views.push({ view, rows, height: view.height() });
    return buttons.length ? update(views.at(-1)) : view;
  });
}
