/**
 * Charts: lines over the last minutes (uPlot), and a line without axes for
 * each agent in the table.
 */

import { minute, time } from "./agents-format.js";

/** Seconds that a chart shows at least. */
const SHORTEST = 60;
/** Steps between the times below a chart, in seconds. */
const TIME_STEPS = [15, 30, 60, 120];
/** Steps between the figures beside it. */
const STEPS = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

/* global uPlot: a classic script, loaded before this module. */

/** What of the page's tones the charts use, as they are now. */
export function tones() {
  const style = getComputedStyle(document.documentElement);
  const tone = (name) => style.getPropertyValue(`--${name}`).trim();
  return { line: tone("egg"), wash: tone("egg-wash"), bad: tone("bad"), grid: tone("line"), text: tone("ink-faint"), off: tone("offline"), font: tone("sans") };
}

/** One or two figures over the last five minutes. */
export class Chart {
  #box;
  #series;
  #height;
  #chart = null;
  #data;
  #onPoint;

  /**
   * @param {HTMLElement} box
   * @param {object} options
   * @param {{tone: "line" | "bad", format: (value: number) => string, scale: string}[]} options.series
   * @param {number} options.height of the chart in pixels, axes included
   * @param {(index: number | null) => void} [options.onPoint] the sample under the pointer, or none
   */
  constructor(box, { series, height, onPoint = () => {} }) {
    this.#box = box;
    this.#series = series;
    this.#height = height;
    this.#onPoint = onPoint;
    this.#data = [new Float64Array(0), ...series.map(() => new Float64Array(0))];
    new ResizeObserver(() => this.#fit()).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#build());
  }

  /** Shows these samples: times in seconds, and the values of each series. */
  draw(times, ...values) {
    // Samples from before the page was opened have no time.
    const first = times.findIndex((time) => !Number.isNaN(time));
    const known = (list) => (first < 0 ? new Float64Array(0) : list.subarray(first));
    const gapped = (list) => Array.from(known(list), (value) => (Number.isNaN(value) ? null : value));
    this.#data = [known(times), ...values.map(gapped)];
    if (this.#chart) this.#chart.setData(this.#data);
    else this.#build();
  }

  #fit() {
    if (this.#chart && this.#box.clientWidth > 0) this.#chart.setSize({ width: this.#box.clientWidth, height: this.#height });
  }

  #build() {
    const width = this.#box.clientWidth;
    if (width === 0) return;
    this.#chart?.destroy();
    const tone = tones();
    const axis = { stroke: tone.text, font: `11px ${tone.font}`, ticks: { show: false }, border: { show: false } };
    const scales = {
      // A minute at least, so that the line does not race at first; in the end all that is kept.
      x: { time: true, range: (_, low, high) => [Math.min(low ?? 0, (high ?? 0) - SHORTEST), high ?? 0] },
    };
    for (const { scale } of this.#series) scales[scale] = { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] };
    this.#chart = new uPlot(
      {
        width,
        height: this.#height,
        // Half of a time below fits beside the line.
        padding: [8, this.#series.length > 1 ? 0 : 26, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false, setScale: false } },
        scales,
        axes: [
          { ...axis, size: 26, space: 64, grid: { show: false }, incrs: TIME_STEPS, values: timesBelow },
          ...this.#series.map(({ scale, format }, n) => ({
            ...axis,
            scale,
            side: n === 0 ? 3 : 1,
            size: n === 0 ? 44 : 34,
            space: 34,
            incrs: STEPS,
            values: (_, values) => values.map(format),
            grid: { show: n === 0, stroke: tone.grid, width: 1 },
          })),
        ],
        series: [
          {},
          ...this.#series.map(({ tone: name, scale }) => ({
            scale,
            stroke: tone[name],
            width: 1.5,
            fill: name === "line" ? tone.wash : undefined,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [(chart) => this.#onPoint(chart.cursor.left >= 0 ? (chart.cursor.idx ?? null) : null)] },
      },
      this.#data,
      this.#box,
    );
  }
}

function timesBelow(_chart, times, _axis, _space, step) {
  const format = step < 60 ? time : minute;
  return times.map((seconds) => format(seconds * 1_000));
}

/** Draws samples as a line that fills a small canvas; where there are none, the line is broken. */
export function drawSpark(canvas, samples, tone, isStale) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (width === 0) return;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  let most = 40;
  for (const value of samples) if (value > most) most = value;
  const x = (n) => (n / (samples.length - 1)) * (width - 2) + 1;
  const y = (value) => height - 2 - (value / most) * (height - 4);
  context.beginPath();
  let isBroken = true;
  for (let n = 0; n < samples.length; n += 1) {
    const value = samples[n];
    if (Number.isNaN(value)) {
      isBroken = true;
    } else {
      if (isBroken) context.moveTo(x(n), y(value));
      else context.lineTo(x(n), y(value));
      isBroken = false;
    }
  }
  context.strokeStyle = isStale ? tone.off : tone.line;
  context.lineWidth = 1.25;
  context.lineJoin = "round";
  context.stroke();
}
