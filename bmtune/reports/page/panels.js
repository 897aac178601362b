"use strict";
// A small panel for each hyperparameter, and the course of the search over time.

const Slices = {
  start() {
    const place = document.getElementById("slice-plot");
    const values = data.common.values;
    this.trials = data.trials.map((trial, index) => index).filter((index) => values[index] !== null);
    if (!this.trials.length) {
      place.textContent = "No trial was measured yet.";
      return;
    }
    const sorted = this.trials.map((index) => values[index]).sort((one, other) => one - other);
    this.log = Figure.wide(sorted);
    const order = data.objective.mode === "max" ? [...sorted].reverse() : sorted;
    this.cut = order[Math.max(0, Math.ceil(0.1 * order.length) - 1)];
    this.low = sorted[0];
    // A few very bad values would press all others together.
    this.high = data.objective.mode === "min" ? Figure.quantile(sorted, 0.97) : sorted.at(-1);
    if (data.objective.mode === "max") this.low = Figure.quantile(sorted, 0.03);
    this.panels = data.parameters.map((axis, position) => {
      const panel = document.createElement("div");
      place.append(panel);
      const found = { axis, position, points: new Map() };
      Figure.host(panel, 170, (svg, width, height) => this.draw(svg, width, height, found));
      pickByPointer(panel, (x, y) => this.nearest(found, x, y));
      return found;
    });
    Picked.listen((index) => { for (const panel of this.panels) this.highlight(panel, index); });
  },

  draw(svg, width, height, panel) {
    const { axis, position } = panel;
    const [left, right, top, bottom] = [46, width - 8, 22, height - 24];
    const x = axis.choices ? Figure.scale(-0.5, axis.choices.length - 0.5, left, right) : Figure.scale(axis.low, axis.high, left, right, axis.log);
    const y = Figure.scale(this.low, this.high, bottom - 4, top + 4, this.log);
    Figure.valueAxis(svg, y, left, right, 3);
    Figure.add(svg, "text", { class: "ink", x: left, y: 12 }, axis.name + (axis.log ? ", log" : ""));
    if (axis.choices) {
      const most = Math.max(3, Math.floor((right - left) / axis.choices.length / 6.5));
      axis.choices.forEach((text, place) => Figure.add(svg, "text", { x: x(place), y: bottom + 17, "text-anchor": "middle" },
        text.length > most ? `${text.slice(0, most - 1)}…` : text));
      Figure.add(svg, "line", { class: "axis", x1: left, x2: right, y1: bottom + 0.5, y2: bottom + 0.5 });
    } else {
      Figure.baseAxis(svg, x, bottom, "", axis.type === "int");
    }
    panel.points.clear();
    const rest = [];
    const best = [];
    for (const index of this.trials) {
      const value = data.trials[index].values[position];
      if (value === null) continue;
      const spread = axis.choices ? ((data.trials[index].number * 0.618034) % 1 - 0.5) * 0.6 : 0;
      const shown = Math.min(this.high, Math.max(this.low, data.common.values[index]));
      const point = [x(value + spread), y(shown)];
      panel.points.set(index, point);
      const good = data.objective.mode === "max" ? data.common.values[index] >= this.cut : data.common.values[index] <= this.cut;
      (good ? best : rest).push(`M${point[0].toFixed(1)} ${point[1].toFixed(1)}h0`);
    }
    Figure.add(svg, "path", { class: "dots", d: rest.join("") }).style.strokeWidth = this.trials.length > 300 ? 3.2 : 5;
    Figure.add(svg, "path", { class: "dots tenth", d: best.join("") });
    panel.ring = Figure.add(svg, "circle", { class: "ring", r: 5.5, visibility: "hidden" });
    this.highlight(panel, Picked.index);
  },

  highlight(panel, index) {
    const point = panel.points.get(index);
    panel.ring.setAttribute("visibility", point ? "visible" : "hidden");
    if (!point) return;
    panel.ring.setAttribute("cx", point[0]);
    panel.ring.setAttribute("cy", point[1]);
  },

  nearest(panel, x, y) {
    let found = null;
    let least = 14 ** 2;
    for (const [index, [atX, atY]] of panel.points) {
      const far = (x - atX) ** 2 + (y - atY) ** 2;
      if (far < least) [least, found] = [far, index];
    }
    return found;
  },
};

const Course = {
  bars: [],

  start() {
    const place = document.getElementById("course-plot");
    if (!data.trials.length) {
      place.textContent = "No trial has started yet.";
      return;
    }
    this.rows = 1 + Math.max(0, ...data.slots.flat());
    this.row = Math.max(2, Math.min(14, Math.floor(260 / this.rows)));
    const lower = this.rows * this.row;
    Figure.host(place, () => 150 + lower + 62, (svg, width) => this.draw(svg, width, 150, lower));
    pickByKeys(place, `When each of ${data.trials.length} trials was trained; arrow keys go from the best to the worst`);
    pickByPointer(place, (x, y) => this.nearest(x, y));
    Picked.listen((index) => this.highlight(index));
  },

  draw(svg, width, upper, lower) {
    const [left, right] = [58, width - 20];
    const unit = data.seconds > 7200 ? [3600, "hours"] : data.seconds > 180 ? [60, "minutes"] : [1, "seconds"];
    const x = Figure.scale(0, Math.max(data.seconds, 1e-3) / unit[0], left, right);
    this.time = (seconds) => x(seconds / unit[0]);
    if (data.incumbents.length) this.drawBest(svg, left, right, upper - 14);
    const top = upper + 16;
    this.top = top;
    this.bars = data.trials.map((trial, index) => trial.spans.map(([begin, end], place) => Figure.add(svg, "rect", {
      class: `bar-trial ${trial.state} ${index === winner ? "best" : ""}`,
      x: this.time(begin).toFixed(1),
      width: Math.max(0.8, this.time(end) - this.time(begin) - 0.6).toFixed(1),
      y: top + data.slots[index][place] * this.row,
      height: Math.max(1, this.row - (this.row > 4 ? 2 : 0.5)),
    })));
    Figure.baseAxis(svg, x, top + lower + 4, `${unit[1]} of the search`);
    Figure.add(svg, "text", { x: left - 8, y: top + 10, "text-anchor": "end" }, "trials");
    this.highlight(Picked.index);
  },

  drawBest(svg, left, right, bottom) {
    const best = data.incumbents.at(-1)[2];
    const worst = Figure.settled(data.incumbents.map(([, seconds, value]) => [seconds, value]), 0.02 * data.seconds);
    const log = Figure.wide([best, worst]);
    const y = data.objective.mode === "max" ? Figure.scale(worst, best, bottom, 28, log) : Figure.scale(best, worst, bottom - 6, 24, log);
    Figure.valueAxis(svg, y, left, right, 3);
    Figure.add(svg, "text", { class: "ink", x: left - 8, y: 11 }, `best ${data.objective.name} so far${log ? ", logarithmic" : ""}`);
    const points = [];
    for (const [, seconds, value] of data.incumbents) {
      if (points.length) points.push([this.time(seconds), points.at(-1)[1]]);
      points.push([this.time(seconds), Math.max(16, Math.min(bottom + 6, y(value)))]);
    }
    points.push([right, points.at(-1)[1]]);
    Figure.add(svg, "path", { class: "course-line", d: Figure.path(points) });
  },

  highlight(index) {
    for (const bar of this.marked ?? []) bar.classList.remove("picked");
    this.marked = index === null ? [] : this.bars[index];
    for (const bar of this.marked) bar.classList.add("picked");
  },

  nearest(x, y) {
    const row = Math.floor((y - this.top) / this.row);
    let found = null;
    let least = 6;
    data.trials.forEach((trial, index) => trial.spans.forEach(([begin, end], place) => {
      if (data.slots[index][place] !== row) return;
      const far = Math.max(this.time(begin) - x, x - this.time(end), 0);
      if (far < least) [least, found] = [far, index];
    }));
    return found;
  },
};
