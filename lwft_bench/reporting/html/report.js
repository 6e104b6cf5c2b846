"use strict";
// Texts of the run reach the page as text nodes, and plotly's labels escaped, since it reads some markup.
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);

  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function make(name, parent, text, className) {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    if (parent) parent.append(element);
    return element;
  }

  function choice(parent, title, options) {
    const label = make("label", parent, title + " ");
    const select = make("select", label);
    options.forEach((text, number) => { make("option", select, text).value = number; });
    return select;
  }

  const plain = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;")
      .replace(/\$/g, "&#36;");  // two of them would be taken for a formula

  // Plots.

  const CONFIG = { displaylogo: false, responsive: true };
  const LAYOUT = {
    font: { family: "system-ui, sans-serif" }, margin: { t: 30, r: 20 }, hovermode: "closest",
    plot_bgcolor: "white",
    legend: { orientation: "h", y: -0.2 },
  };
  const axis = (text) => ({ title: { text }, gridcolor: "#e6e6e6", zeroline: false });

  function plot(parent) {
    parent.hidden = false;
    return make("div", parent, undefined, "plot");
  }

  function accuracy(parent, chart) {
    if (!chart.points.length) return;
    const large = Math.max(...chart.points.map((one) => one.bytes)) >= 2 ** 30;
    const unit = large ? 2 ** 30 : 2 ** 20;
    const spread = (key) => Math.max(...chart.points.map((one) => one[key]))
      - Math.min(...chart.points.map((one) => one[key]));
    const near = (one, other, key) => Math.abs(one[key] - other[key]) <= 0.02 * spread(key);
    const hover = (one) => chart.points
      .filter((other) => near(one, other, "bytes") && near(one, other, "accuracy"))
      .map((other) => [`<b>${plain(other.label)}</b>`, ...other.lines.map(plain)].join("<br>"))
      .join("<br><br>");  // of all that lie here, since only one of them can be pointed at
    const traces = chart.points.map((one) => ({
      x: [one.bytes / unit], y: [one.accuracy], mode: "markers", name: plain(one.label),
      error_y: { type: "data", array: [one.stderr], thickness: 1 },
      marker: { color: one.color, symbol: one.symbol, size: 11 },
      text: [hover(one)],
      hoverinfo: "text",
    }));
    const layout = {
      ...LAYOUT,
      xaxis: axis(`peak memory (${large ? "GiB" : "MiB"})`), yaxis: axis("average accuracy (%)"),
    };
    Plotly.newPlot(plot(parent), traces, layout, CONFIG);
  }

  function losses(parent, chart) {
    if (!chart.losses.length) return;
    const traces = chart.losses.flatMap((one) => {
      const line = { color: one.color, dash: one.dash, width: 1.5 };
      const name = plain(one.label);
      return [
        { x: one.steps, y: one.mean, mode: "lines", name, line, legendgroup: name },
        {
          x: one.validation_steps, y: one.validation, mode: "lines+markers", name, line,
          marker: { symbol: one.symbol }, legendgroup: name, showlegend: false,
          xaxis: "x2", yaxis: "y2",
        },
      ];
    });
    const layout = {
      ...LAYOUT, grid: { rows: 1, columns: 2, pattern: "independent" },
      xaxis: axis("step (training loss)"), yaxis: axis("loss per target token"),
      xaxis2: axis("step (validation loss)"), yaxis2: axis(""),
    };
    Plotly.newPlot(plot(parent), traces, layout, CONFIG);
  }

  function selections(parent, chart) {
    if (!chart.selections.length) return;
    const controls = make("div", parent, undefined, "controls");
    const which = choice(controls, "Method and seed",
      chart.selections.map((one) => `${one.label}, seed ${one.seed}`));
    const what = choice(controls, "Colour", ["selected", "probability of being drawn"]);
    const place = plot(parent);
    const draw = () => {
      const one = chart.selections[which.value];
      const chosen = what.value === "0";
      const value = (unit, period) => {
        if (chosen) return one.units[period].includes(unit) ? 1 : 0;
        return one.probabilities[period] ? one.probabilities[period][unit] : null;
      };
      const until = one.edges.slice(1);
      const trace = {
        type: "heatmap", x: one.edges, y: one.names.map(plain), showscale: !chosen,
        z: one.names.map((_, unit) => until.map((_, period) => value(unit, period))),
        text: one.names.map((name, unit) => until.map((end, period) => plain(
          `unit ${name}, steps ${one.edges[period]} to ${end - 1}: `
          + (chosen ? (value(unit, period) ? "trained" : "frozen")
            : `probability ${value(unit, period) ?? "not recorded"}`)))),
        hoverinfo: "text", xgap: 1, ygap: 1, colorscale: chosen ? [[0, "#f4f4f4"], [1, "#0072b2"]] : "Cividis",
      };
      const layout = { ...LAYOUT, xaxis: axis("step"), yaxis: { ...axis("unit"), type: "category" } };
      Plotly.react(place, [trace], layout, CONFIG);
    };
    which.addEventListener("change", draw);
    what.addEventListener("change", draw);
    draw();
  }

  // Samples, side by side.

  const SHOWN = ["all items", "where methods differ", "right everywhere", "wrong everywhere"];

  function answered(cell, answer) {
    if (!answer.length) return;
    const [response, prediction, right] = answer;
    cell.className = right ? "right" : "wrong";
    make("span", cell, right ? "✓ " : "✗ ", "mark");
    make("span", cell, response.trim());
    make("div", cell, prediction === null ? "no answer read" : `read: ${prediction}`, "read");
  }

  function samples(parent, found, DataTable) {
    const benchmarks = found.benchmarks.filter((one) => one.items.length);
    if (!benchmarks.length) return;
    parent.hidden = false;
    const seeds = [...new Set(found.cells.map((cell) => cell.seed))].filter((seed) => seed !== null);
    const labels = [...new Set(found.cells.map((cell) => cell.label))];
    const controls = make("div", parent, undefined, "controls");
    const benchmark = choice(controls, "Benchmark", benchmarks.map((one) => one.name));
    const seed = choice(controls, "Seed", seeds.length ? seeds : ["–"]);
    const shown = choice(controls, "Show", SHOWN);
    const methods = make("div", parent, undefined, "controls");
    const boxes = labels.map((text) => {
      const label = make("label", methods);
      const box = make("input", label);
      box.type = "checkbox";
      box.checked = true;
      label.append(` ${text}`);
      return box;
    });
    const count = make("p", parent, "", "read");
    const holder = make("div", parent, undefined, "wide");

    function draw() {
      const one = benchmarks[benchmark.value];
      const columns = found.cells.map((cell, number) => ({ ...cell, number })).filter((cell) =>
        boxes[labels.indexOf(cell.label)].checked
        && (cell.seed === null || !seeds.length || cell.seed === seeds[seed.value]));
      const items = one.items.filter(([, , , answers]) => {
        const right = columns.map((cell) => answers[cell.number]).filter((a) => a.length).map((a) => a[2]);
        const all = right.length > 0 && right.every((value) => value === 1);
        const none = right.length > 0 && right.every((value) => value === 0);
        return [true, !all && !none && right.length > 0, all, none][shown.value];
      });
      holder.replaceChildren();
      const table = make("table", holder, undefined, "samples-table");
      const head = make("tr", make("thead", table));
      ["item", "prompt", "answer", ...columns.map((cell) => cell.label)].forEach((text) => make("th", head, text));
      const body = make("tbody", table);
      items.forEach(([id, prompt, answer, answers]) => {
        const row = make("tr", body);
        [id, prompt, answer].forEach((text) => make("td", row, text));
        columns.forEach((cell) => answered(make("td", row), answers[cell.number]));
      });
      const left = one.total > one.items.length ? `, the first ${one.items.length} of ${one.total} in this file` : "";
      count.textContent = `${items.length} of ${one.items.length} items${left}`;
      new DataTable(table, { pageLength: 10, autoWidth: false, order: [] });
    }
    [benchmark, seed, shown, ...boxes].forEach((control) => control.addEventListener("change", draw));
    draw();
  }

  // Libraries, and then everything.

  const script = document.createElement("script");
  script.textContent = await unpacked("plotly");
  document.head.append(script);
  const module = new Blob([await unpacked("tables")], { type: "text/javascript" });
  const address = URL.createObjectURL(module);
  const { default: DataTable } = await import(address);
  URL.revokeObjectURL(address);

  document.querySelectorAll("table[data-name]").forEach((table) => {
    new DataTable(table, { paging: table.rows.length > 60, info: false, order: [], autoWidth: false });
  });
  document.querySelectorAll(".comparison").forEach((section) => {
    const number = Number(section.dataset.number);
    const part = (name) => document.getElementById(`${name}-${number}`);
    accuracy(part("accuracy"), data.charts[number]);
    losses(part("losses"), data.charts[number]);
    selections(part("selections"), data.charts[number]);
    samples(part("samples"), data.samples[number], DataTable);
  });
  document.body.dataset.ready = "yes";
})().catch((error) => {
  const note = document.createElement("p");
  note.className = "warning";
  note.textContent = `Plots and sorting could not be started: ${error}`;
  document.body.prepend(note);
});
