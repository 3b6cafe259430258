// @ts-check
/** Draws a metric over time with uPlot, and offers the drawing as PNG and as SVG. */

/**
 * @typedef {object} Described
 * @property {string} name
 * @property {string} form
 * @property {string} unit
 * @property {string[]} labels
 * @property {(number | null)[]} values
 * @property {(number | null)[] | null} before
 * @property {boolean[]} partial
 * @property {string[]} people
 */

/** @type {Promise<void> | undefined} */
let loaded;

/** @param {string} address */
function loadLibrary(address) {
  loaded ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL(address, document.baseURI).href;
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", reject);
    document.head.append(script);
  });
  return loaded;
}

/** @param {string} name */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * Write a label as people read it, in the browser's language.
 * @param {string} label such as 2026-03-29, 2026-03 or 2026-10-25T02:00:00+02:00
 * @param {string} unit
 * @param {boolean} isLong
 */
function formatLabel(label, unit, isLong) {
  const [year, month, day] = label.slice(0, 10).split("-").map(Number);
  const date = new Date(year, month - 1, day || 1, unit === "hour" ? Number(label.slice(11, 13)) : 0);
  if (unit === "month") return date.toLocaleDateString(undefined, { month: isLong ? "long" : "short", year: "numeric" });
  const text = date.toLocaleDateString(undefined, { weekday: isLong ? "short" : undefined, day: "numeric", month: "short" });
  if (unit === "hour") return isLong ? `${text} ${label.slice(11, 16)}` : label.slice(11, 16);
  return unit === "week" && isLong ? `Week of ${text}` : text;
}

/**
 * Draw a chart into its figure.
 * @param {HTMLElement} figure
 * @param {string} library the address of uPlot
 */
export async function draw(figure, library) {
  const source = figure.querySelector("script[type='application/json']");
  if (!source) return;
  /** @type {Described} */
  const described = JSON.parse(source.textContent ?? "");
  const { formatNumber } = await import(/** @type {HTMLScriptElement} */ (document.querySelector("script[data-chart]")).src);
  await loadLibrary(library);
  const uPlot = /** @type {any} */ (window).uPlot;
  const positions = described.labels.map((_, number) => number);
  /** @param {number | null} value */
  const format = (value) => (value == null ? "–" : formatNumber(value, described.form));
  const accent = color("--accent");
  /** @type {any[]} */
  const series = [
    { label: "Time", value: (/** @type {any} */ _, /** @type {number | null} */ place) => (place == null ? "" : formatLabel(described.labels[place] ?? "", described.unit, true)) },
    {
      label: described.name,
      stroke: accent,
      width: 2,
      fill: `rgba(${color("--shade")}, .12)`,
      points: { show: positions.length < 60, size: 5, fill: accent },
      value: (/** @type {any} */ _, /** @type {number | null} */ value) => format(value),
    },
  ];
  const data = [positions, described.values];
  if (described.before) {
    series.push({
      label: "Before",
      stroke: color("--before"),
      width: 1.5,
      dash: [5, 4],
      points: { show: false },
      value: (/** @type {any} */ _, /** @type {number | null} */ value) => format(value),
    });
    data.push(/** @type {any} */ (described.before.slice(0, positions.length)));
  }
  const font = "12px system-ui, sans-serif";
  const axis = { stroke: color("--quiet"), font, grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  const options = {
    width: figure.clientWidth || 600,
    height: 250,
    padding: [null, 34, null, null], // room for half of the last label
    cursor: { y: false, drag: { x: false, y: false } },
    legend: { live: true },
    scales: { x: { time: false }, y: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1] } },
    series,
    axes: [
      { ...axis, space: 70, incrs: [1, 2, 3, 7, 14, 28, 56, 112, 224], values: (/** @type {any} */ _, /** @type {number[]} */ places) => places.map((place) => (described.labels[place] ? formatLabel(described.labels[place], described.unit, false) : "")) },
      { ...axis, size: 64, values: (/** @type {any} */ _, /** @type {number[]} */ values) => values.map(format) },
    ],
  };
  const chart = new uPlot(options, data, figure);
  new ResizeObserver(() => chart.setSize({ width: figure.clientWidth, height: 250 })).observe(figure);
  chart.over.addEventListener("click", () => {
    const place = chart.cursor.idx;
    if (place != null && described.values[place] && described.people[place]) location.href = described.people[place];
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", `${described.name}: a line from ${described.labels[0]} to ${described.labels.at(-1)}. The numbers are in the table below.`);
  figure.after(makeTools(chart, described, format));
}

/**
 * Make the links that save the chart.
 * @param {any} chart
 * @param {Described} described
 * @param {(value: number | null) => string} format
 */
function makeTools(chart, described, format) {
  const tools = document.createElement("p");
  tools.className = "chart-tools";
  for (const [name, make] of /** @type {[string, () => Promise<Blob | null>][]} */ ([
    ["PNG", () => new Promise((resolve) => chart.ctx.canvas.toBlob(resolve))],
    ["SVG", async () => new Blob([drawSvg(described, format)], { type: "image/svg+xml" })],
  ])) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    button.textContent = name;
    button.addEventListener("click", async () => {
      const blob = await make();
      if (!blob) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${described.name.replace(/[^A-Za-z0-9]+/g, "-").toLowerCase()}.${name.toLowerCase()}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
    tools.append(button);
  }
  return tools;
}

/**
 * Return the chart as an SVG document of its own.
 * @param {Described} described
 * @param {(value: number | null) => string} format
 */
function drawSvg(described, format) {
  const [width, height, left, below] = [900, 360, 70, 34];
  const values = [...described.values, ...(described.before ?? [])].map((value) => value ?? 0);
  const top = Math.max(...values, 1e-9) * 1.08;
  const last = Math.max(described.labels.length - 1, 1);
  const x = (/** @type {number} */ place) => left + (place / last) * (width - left - 20);
  const y = (/** @type {number} */ value) => height - below - (value / top) * (height - below - 30);
  const line = (/** @type {(number | null)[]} */ numbers) =>
    numbers.slice(0, described.labels.length).map((value, place) => `${x(place).toFixed(1)},${y(value ?? 0).toFixed(1)}`).join(" ");
  const escape = (/** @type {string} */ text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
  const every = Math.ceil(described.labels.length / 10);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/><text x="${left}" y="18" font-size="14">${escape(described.name)}</text>`,
    ...[0, 0.25, 0.5, 0.75, 1].map((share) => `<path d="M${left} ${y(top * share)}H${width - 20}" stroke="#ddd"/><text x="${left - 8}" y="${y(top * share) + 4}" text-anchor="end" fill="#555">${escape(format(top * share))}</text>`),
    ...described.labels.map((label, place) => (place % every ? "" : `<text x="${x(place)}" y="${height - 12}" text-anchor="middle" fill="#555">${escape(formatLabel(label, described.unit, false))}</text>`)),
    described.before ? `<polyline points="${line(described.before)}" fill="none" stroke="#8a8f94" stroke-dasharray="5 4"/>` : "",
    `<polyline points="${line(described.values)}" fill="none" stroke="#0b6b5c" stroke-width="2"/></svg>`,
  ];
  return parts.join("\n");
}
