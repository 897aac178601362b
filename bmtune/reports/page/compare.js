"use strict";
// The best value so far of each run, against epochs and against time.

function drawProgress(id, pick, end, name, unit) {
  const place = document.getElementById(id);
  const runs = data.runs.filter((run) => run.found.length);
  if (!runs.length) {
    place.textContent = "No trial was measured yet.";
    return;
  }
  const longest = Math.max(...runs.map(end));
  const last = longest / unit;
  // Values of the start, far from all others, run out of the figure.
  const values = runs.flatMap((run) => [run.found.at(-1)[2], Figure.settled(run.found.map((found) => [pick(found), found[2]]), 0.02 * longest)]);
  const log = Figure.wide(values);
  Figure.host(place, (width) => Math.round(Math.min(380, Math.max(240, width * 0.42))), (svg, width, height) => {
    const [left, right, top, bottom] = [58, width - Math.min(160, Math.round(width * 0.22)), 24, height - 40];
    const x = Figure.scale(0, last, left, right);
    const best = Math.min(...values);
    const worst = Math.max(...values);
    const room = log ? (worst / best) ** 0.06 : (worst - best) * 0.06;
    const y = Figure.scale(log ? best / room : best - room, log ? worst * room : worst + room, bottom, top, log);
    const inside = (value) => Math.min(bottom, Math.max(top - 8, y(value)));
    Figure.valueAxis(svg, y, left, right);
    Figure.baseAxis(svg, x, bottom, name);
    Figure.add(svg, "text", { class: "ink", x: left - 8, y: 11 }, `best ${data.objective.name} so far${log ? ", logarithmic" : ""}`);
    const labels = [];
    for (const run of runs) {
      const points = [];
      for (const found of run.found) {
        const at = x(pick(found) / unit);
        if (points.length) points.push([at, points.at(-1)[1]]);
        points.push([at, inside(found[2])]);
      }
      points.push([x(end(run) / unit), points.at(-1)[1]]);
      const kind = data.runs.indexOf(run) % 6;
      Figure.add(svg, "path", { class: `run run-${kind}`, d: Figure.path(points) });
      labels.push({ at: points.at(-1)[0], y: points.at(-1)[1], text: run.name, kind });
    }
    Figure.spread(labels, bottom - 4);
    for (const { at, y: on, text, kind } of labels) {
      const short = text.length > 22 ? `…${text.slice(-21)}` : text;
      Figure.add(svg, "text", { class: `run-text-${kind} halo`, x: at + 6, y: on + 4 }, short);
    }
  });
}

const longest = Math.max(0, ...data.runs.map((run) => run.seconds));
const [unit, unitName] = longest > 7200 ? [3600, "hours"] : longest > 180 ? [60, "minutes"] : [1, "seconds"];
drawProgress("epochs-plot", (found) => found[0], (run) => run.epochs, "epochs of all trials and phases", 1);
drawProgress("seconds-plot", (found) => found[1], (run) => run.seconds, `${unitName} of the search`, unit);
document.documentElement.dataset.ready = "yes";
