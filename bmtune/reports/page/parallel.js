"use strict";
// Parallel coordinates: an axis a hyperparameter and one of the objective; on a narrow page the axes lie.

const Parallel = {
  axes: [],
  ranges: new Map(),
  share: 1,
  lines: [],

  start() {
    const place = document.getElementById("parallel-plot");
    this.trials = data.trials.map((trial, index) => index).filter((index) => data.trials[index].value !== null);
    if (!this.trials.length) {
      place.textContent = "No trial was measured yet.";
      return;
    }
    const values = this.trials.map((index) => data.trials[index].value);
    this.axes = data.parameters.map((axis, position) => ({ ...axis, of: (trial) => trial.values[position] }));
    this.axes.push({ name: data.objective.name, type: "objective", of: (trial) => trial.value, log: Figure.wide(values),
      low: Math.min(...values), high: Math.max(...values) });
    Figure.host(place, (width) => this.lies(width) ? 62 * this.axes.length + 20 : 394, (svg, width, height) => this.draw(svg, width, height));
    pickByKeys(place, `Hyperparameters of ${this.trials.length} trials; arrow keys go from the best to the worst`);
    pickByPointer(place, (x, y) => this.nearest(x, y));
    Picked.listen((index) => this.highlight(index));
    for (const radio of document.querySelectorAll('input[name="show"]')) {
      radio.addEventListener("change", () => { this.share = Number(radio.value); this.filter(); });
    }
    document.getElementById("clear-ranges").addEventListener("click", () => { this.ranges.clear(); this.drawRanges(); this.filter(); });
  },

  lies(width) { return width / this.axes.length < 84; },

  draw(svg, width, height) {
    const lies = this.lies(width);
    this.lying = lies;
    const absent = this.axes.some((axis) => this.trials.some((index) => axis.of(data.trials[index]) === null));
    const [from, to] = lies ? [14, width - (absent ? 56 : 14)] : [height - 40, 66];
    const gap = lies ? 62 : (width - 120) / (this.axes.length - 1);
    this.axes.forEach((axis, position) => {
      axis.at = lies ? 40 + position * gap : 60 + position * gap;
      axis.scale = axis.choices
        ? Figure.scale(-0.4, axis.choices.length - 0.6, from, to)
        : Figure.scale(axis.low, axis.high, from, to, axis.log);
      axis.none = lies ? width - 16 : height - 14;
      axis.hasNone = this.trials.some((index) => axis.of(data.trials[index]) === null);
    });
    const group = Figure.add(svg, "g");
    this.points = new Map(this.trials.map((index) => [index, this.line(index)]));
    const opacity = this.trials.length > 300 ? 0.35 : this.trials.length > 80 ? 0.55 : 0.85;
    // The best lie on top.
    this.lines = [...this.trials].sort((one, other) => (data.trials[other].rank ?? 1e9) - (data.trials[one].rank ?? 1e9)).map((index) => {
      const rank = data.trials[index].rank;
      const kind = index === winner ? "best" : rank === null ? "" : rank <= this.best(0.1) ? "tenth" : rank <= this.best(0.25) ? "quarter" : "";
      return [index, Figure.add(group, "path", { class: `trace ${kind}`, opacity: kind === "best" ? 1 : opacity, d: Figure.path(this.points.get(index)) })];
    });
    this.over = Figure.add(svg, "path", { class: "trace picked", d: "" });
    this.brushes = Figure.add(svg, "g");
    this.axes.forEach((axis) => this.drawAxis(svg, axis, from, to, gap));
    this.drawRanges();
    this.filter();
    this.highlight(Picked.index);
  },

  best(share) { return Math.max(1, Math.ceil(share * numRanked)); },

  // The place of a trial on an axis; trials with the same choice are spread a little, always alike.
  place(axis, index) {
    const value = axis.of(data.trials[index]);
    if (value === null) return axis.none;
    const spread = axis.choices ? ((data.trials[index].number * 0.618034) % 1 - 0.5) * 0.5 : 0;
    return axis.scale(value + spread);
  },

  line(index) {
    return this.axes.map((axis) => this.lying ? [this.place(axis, index), axis.at] : [axis.at, this.place(axis, index)]);
  },

  drawAxis(svg, axis, from, to, gap) {
    const across = (along) => this.lying ? { x: along, y: axis.at } : { x: axis.at, y: along };
    const [start, end] = [across(from), across(to)];
    Figure.add(svg, "line", { class: "axis", x1: start.x, y1: start.y, x2: end.x, y2: end.y });
    const name = axis.name.split(".");
    if (this.lying) {
      Figure.add(svg, "text", { class: "ink halo", x: 14, y: axis.at - 9 }, axis.name + (axis.log ? ", logarithmic" : ""));
    } else {
      name.slice(-3).forEach((part, line, parts) => {
        Figure.add(svg, "text", { class: "ink", x: axis.at, y: 12 + 14 * (line + 3 - parts.length), "text-anchor": "middle" }, part);
      });
      if (axis.log) Figure.add(svg, "text", { x: axis.at, y: 55, "text-anchor": "middle" }, "log");
    }
    const ticks = axis.choices ? axis.choices.map((text, place) => [place, text])
      : Figure.ticks(axis.scale, this.lying ? 4 : 6, axis.type === "int").map((value) => [value, Figure.text(value)]);
    for (const [value, text] of ticks) {
      const spot = across(axis.scale(value));
      const place = this.lying ? { x: spot.x, y: spot.y + 14, "text-anchor": "middle" } : { x: spot.x + 5, y: spot.y + 4 };
      Figure.add(svg, "text", { class: "halo", ...place }, text);
    }
    if (axis.hasNone) {
      Figure.add(svg, "text", this.lying ? { class: "halo", x: axis.none, y: axis.at + 14, "text-anchor": "middle" }
        : { class: "halo", x: axis.at + 5, y: axis.none + 4 }, "none");
    }
    const box = this.lying
      ? { x: Math.min(from, to), y: axis.at - 16, width: Math.abs(to - from), height: 32 }
      : { x: axis.at - Math.min(22, gap / 3), y: Math.min(from, to), width: 2 * Math.min(22, gap / 3), height: Math.abs(to - from) };
    this.catchDrags(Figure.add(svg, "rect", { class: "catch", ...box }), svg, axis, from, to);
  },

  // Dragging along an axis sets its range; a click on it, or a drag of no length, clears it.
  catchDrags(target, svg, axis, from, to) {
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    const along = (event) => {
      const box = svg.getBoundingClientRect();
      const pixel = this.lying ? event.clientX - box.left : event.clientY - box.top;
      return Math.min(high, Math.max(low, pixel));
    };
    let began = null;
    target.addEventListener("pointerdown", (event) => {
      began = along(event);
      target.setPointerCapture(event.pointerId);
      event.preventDefault();
      document.getElementById("parallel-plot").focus({ preventScroll: true });
    });
    target.addEventListener("pointermove", (event) => {
      if (began === null) return;
      const now = along(event);
      if (Math.abs(now - began) > 3) this.ranges.set(axis.name, [axis.scale.invert(began), axis.scale.invert(now)].sort((one, other) => one - other));
      this.drawRanges();
      this.filter();
    });
    target.addEventListener("pointerup", (event) => {
      if (began !== null && Math.abs(along(event) - began) <= 3) this.ranges.delete(axis.name);
      began = null;
      this.drawRanges();
      this.filter();
    });
    target.addEventListener("click", (event) => event.stopPropagation());
  },

  drawRanges() {
    this.brushes.replaceChildren();
    for (const axis of this.axes) {
      if (!this.ranges.has(axis.name)) continue;
      const [one, other] = this.ranges.get(axis.name).map(axis.scale);
      const [begin, length] = [Math.min(one, other), Math.abs(one - other)];
      Figure.add(this.brushes, "rect", this.lying
        ? { class: "brush", x: begin, y: axis.at - 7, width: length, height: 14 }
        : { class: "brush", x: axis.at - 7, y: begin, width: 14, height: length });
    }
    document.getElementById("clear-ranges").disabled = this.ranges.size === 0;
  },

  shows(index) {
    const trial = data.trials[index];
    if (this.share < 1 && (trial.rank === null || trial.rank > this.best(this.share))) return false;
    return this.axes.every((axis) => {
      const range = this.ranges.get(axis.name);
      const value = axis.of(trial);
      return !range || value !== null && value >= range[0] && value <= range[1];
    });
  },

  filter() {
    let count = 0;
    for (const [index, line] of this.lines) {
      const shown = this.shows(index);
      count += shown;
      line.classList.toggle("off", !shown);
    }
    const all = count === this.lines.length;
    document.getElementById("range-count").textContent = all ? "" : `${count} of ${this.lines.length} trials`;
  },

  highlight(index) {
    this.over?.setAttribute("d", index !== null && this.points.has(index) ? Figure.path(this.points.get(index)) : "");
  },

  nearest(x, y) {
    let found = null;
    let least = 14;
    for (const [index, points] of this.points) {
      if (!this.shows(index)) continue;
      for (let place = 1; place < points.length; place += 1) {
        const [[fromX, fromY], [toX, toY]] = [points[place - 1], points[place]];
        const [at, begin, end] = this.lying ? [y, fromY, toY] : [x, fromX, toX];
        if (at < begin || at > end) continue;
        const share = (at - begin) / (end - begin);
        const far = this.lying ? Math.abs(x - fromX - share * (toX - fromX)) : Math.abs(y - fromY - share * (toY - fromY));
        if (far < least) [least, found] = [far, index];
      }
    }
    return found;
  },
};
