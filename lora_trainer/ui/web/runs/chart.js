// The loss chart: raw values faint, a smoothed line on top, the loss on images kept aside with its best moment, the learning rate in a pane below, drawn on one canvas.
// 100,000 points are thinned to the lowest and highest of each pixel column, so that a peak is never lost.
import { fill, h } from "../base/elements.js";
import { recall, remember } from "../base/memory.js";
import { formatNumber, formatShort } from "../base/numbers.js";
import { t } from "./texts.js";

const { floor, ceil, log10, max, min, abs, round } = Math;
const LEFT = 54, RIGHT = 20, TOP = 10, GAP = 26, BOTTOM = 24, RATE_HEIGHT = 46;

// Round numbers that divide low..high into about `count` parts.
export function ticks(low, high, count) {
    const span = high - low || abs(high) || 1;
    const rough = span / max(1, count);
    const power = 10 ** floor(log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough) || 10 * power;
    const found = [];
    for (let value = ceil(low / step - 1e-9) * step; value <= high + step * 1e-6; value += step) found.push(abs(value) < step * 1e-6 ? 0 : value);
    return found;
}

// Exponential moving average over steps (not points: old parts of the curve come thinned from the host).
// `amount` 0..1 is the width, 1 being a fifth of all steps.
export function smooth(steps, values, amount) {
    const width = amount * amount * 0.2 * (steps.length ? steps[steps.length - 1] - steps[0] : 0);
    const smoothed = new Array(values.length);
    let [sum, weight] = [0, 0];
    for (let i = 0; i < values.length; i++) {
        if (!Number.isFinite(values[i])) { smoothed[i] = NaN; continue; }
        const keep = width > 0 && i ? Math.exp(-(steps[i] - steps[i - 1]) / width) : 0;
        [sum, weight] = [sum * keep + values[i], weight * keep + 1];
        smoothed[i] = sum / weight;
    }
    return smoothed;
}

// One or two points a pixel column: [[x, low, high], ...] in the units of the data.
export function thin(steps, values, columns) {
    const [first, last] = [steps[0], steps[steps.length - 1]];
    const scale = last > first ? (columns - 1) / (last - first) : 0;
    const kept = [];
    let column = -1;
    for (let i = 0; i < steps.length; i++) {
        if (!Number.isFinite(values[i])) continue;
        const here = floor((steps[i] - first) * scale);
        if (here !== column) kept.push([steps[i], values[i], values[i]]);
        else {
            const point = kept[kept.length - 1];
            point[1] = min(point[1], values[i]);
            point[2] = max(point[2], values[i]);
        }
        column = here;
    }
    return kept;
}

// The range that shows the curve and not its one outlier: the middle 98 % of the values.
export function range(values) {
    const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
    if (!sorted.length) return [0, 1];
    const at = (share) => sorted[min(sorted.length - 1, floor(share * sorted.length))];
    let [low, high] = sorted.length > 50 ? [at(0.01), at(0.99)] : [sorted[0], sorted[sorted.length - 1]];
    if (low === high) [low, high] = [low - (abs(low) * 0.1 || 0.5), high + (abs(high) * 0.1 || 0.5)];
    const margin = (high - low) * 0.08;
    return [low >= 0 ? max(0, low - margin) : low - margin, high + margin];
}

// Index of the step nearest to `step`.
export function nearest(steps, step) {
    let [low, high] = [0, steps.length - 1];
    while (low < high) {
        const middle = (low + high) >> 1;
        if (steps[middle] < step) low = middle + 1;
        else high = middle;
    }
    return low > 0 && step - steps[low - 1] < steps[low] - step ? low - 1 : low;
}

// Returns {element, update({steps, loss, lr, validation: {steps, loss}, total})}. `total` is the run's last step: the axis does not move.
export function lossChart(signal) {
    let data = { steps: [], loss: [], lr: [], validation: { steps: [], loss: [] }, total: 0 };
    let smoothed = [], cursor = -1, amount = recall("smoothing", 0.5);
    const canvas = h("canvas", { class: "lt-chart-canvas", tabindex: "0", role: "img", "aria-label": t("chart_help") });
    const tip = h("div", { class: "lt-chart-tip", hidden: true });
    const empty = h("p", { class: "lt-chart-empty" }, t("chart_empty"));
    const slider = h("input", { type: "range", min: "0", max: "1", step: "0.05", value: String(amount), "aria-label": t("smoothing"),
        oninput: () => { amount = Number(slider.value); remember("smoothing", amount); compute(); } });
    const aside = h("span", { class: "lt-key lt-key-validation", hidden: true }, t("validation_key"));
    const legend = h("div", { class: "lt-chart-legend" },
        h("span", { class: "lt-key lt-key-raw" }, t("raw")), h("span", { class: "lt-key lt-key-smooth" }, t("smoothed")), aside,
        h("label", { class: "lt-chart-smoothing" }, t("smoothing"), slider));
    const frame = h("div", { class: "lt-chart-frame" }, canvas, tip, empty);
    const element = h("div", { class: "lt-chart" }, legend, frame);

    const compute = () => { smoothed = smooth(data.steps, data.loss, amount); draw(); };

    function draw() {
        const [width, height] = [frame.clientWidth, frame.clientHeight];
        if (!width || !height) return;
        const ratio = window.devicePixelRatio || 1;
        if (canvas.width !== round(width * ratio)) canvas.width = round(width * ratio);
        if (canvas.height !== round(height * ratio)) canvas.height = round(height * ratio);
        const pen = canvas.getContext("2d");
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.clearRect(0, 0, width, height);
        empty.hidden = data.steps.length > 0;
        empty.textContent = t(data.isOver ? "chart_never" : "chart_empty");
        if (!data.steps.length) return;
        const style = getComputedStyle(element);
        const ink = (name) => style.getPropertyValue(name).trim();
        const plot = { x: LEFT, width: width - LEFT - RIGHT };
        const lossPane = { ...plot, y: TOP, height: height - TOP - GAP - RATE_HEIGHT - BOTTOM };
        const ratePane = { ...plot, y: height - BOTTOM - RATE_HEIGHT, height: RATE_HEIGHT };
        const first = min(data.steps[0], 1), last = max(data.total || 0, data.steps[data.steps.length - 1], first + 1);
        const x = (step) => plot.x + ((step - first) / (last - first)) * plot.width;
        const y = (pane, [low, high]) => (value) => pane.y + pane.height * (1 - (value - low) / (high - low));
        pen.font = `11px ${style.fontFamily}`;
        pen.lineJoin = "round";

        const measured = data.validation, lossRange = range(data.loss.concat(smoothed, measured.loss)), lossY = y(lossPane, lossRange);
        const rates = data.lr.filter(Number.isFinite), rateRange = [0, (rates.length ? rates.reduce((a, b) => max(a, b), 0) : 1) * 1.15 || 1];
        const rateY = y(ratePane, rateRange);
        axis(pen, lossPane, ticks(lossRange[0], lossRange[1], max(2, lossPane.height / 44)), lossY, ink);
        axis(pen, ratePane, ticks(0, rateRange[1], 2).slice(0, 3), rateY, ink);
        pen.fillStyle = ink("--lt-subdued");
        pen.textAlign = "center";
        for (const step of ticks(first, last, max(2, plot.width / 90))) if (Number.isInteger(step)) pen.fillText(formatNumber(step), x(step), height - 7);
        pen.textAlign = "left";
        pen.fillText(t("learning_rate"), plot.x + 2, ratePane.y - 7);

        const columns = max(2, floor(plot.width));
        band(pen, lossPane, thin(data.steps, data.loss, columns), x, lossY, ink("--lt-accent"), 1, 0.32);
        band(pen, lossPane, thin(data.steps, smoothed, columns), x, lossY, ink("--lt-accent"), 2.2, 1);
        band(pen, lossPane, measured.steps.map((step, i) => [step, measured.loss[i], measured.loss[i]]).filter(([step]) => step >= first), x, lossY, ink("--lt-blue"), 1.8, 1);
        band(pen, ratePane, thin(data.steps, data.lr, columns), x, rateY, ink("--lt-blue"), 1.6, 1);
        mark(pen, x, lossPane, ratePane, lossY, ink, width);
    }

    function axis(pen, pane, values, y, ink) {
        pen.strokeStyle = ink("--lt-line");
        pen.fillStyle = ink("--lt-subdued");
        pen.lineWidth = 1;
        pen.textAlign = "right";
        for (const value of values) {
            const at = round(y(value)) + 0.5;
            pen.beginPath();
            pen.moveTo(pane.x, at);
            pen.lineTo(pane.x + pane.width, at);
            pen.stroke();
            pen.fillText(formatShort(value), pane.x - 7, at + 3.5);
        }
    }

    function band(pen, pane, points, x, y, color, thickness, alpha) {
        if (!points.length) return;
        pen.save();
        pen.beginPath();
        pen.rect(pane.x, pane.y - 3, pane.width + 2, pane.height + 6);
        pen.clip();
        [pen.strokeStyle, pen.fillStyle, pen.lineWidth, pen.globalAlpha] = [color, color, thickness, alpha];
        pen.beginPath();
        for (const [step, low, high] of points) {
            pen.lineTo(x(step), y(low));
            if (high !== low) pen.lineTo(x(step), y(high));
        }
        pen.stroke();
        if (points.length === 1) pen.fillRect(x(points[0][0]) - 2, y(points[0][1]) - 2, 4, 4);
        pen.restore();
    }

    function mark(pen, x, lossPane, ratePane, y, ink, width) {
        tip.hidden = cursor < 0 || cursor >= data.steps.length;
        if (tip.hidden) return;
        const at = x(data.steps[cursor]);
        pen.strokeStyle = ink("--lt-subdued");
        pen.setLineDash([3, 3]);
        pen.beginPath();
        pen.moveTo(at, lossPane.y);
        pen.lineTo(at, ratePane.y + ratePane.height);
        pen.stroke();
        pen.setLineDash([]);
        pen.fillStyle = ink("--lt-accent");
        pen.beginPath();
        pen.arc(at, y(smoothed[cursor]), 3.5, 0, 7);
        pen.fill();
        const beside = nearest(data.validation.steps, data.steps[cursor]);
        const row = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
        fill(tip, h("strong", {}, `${t("step")} ${formatNumber(data.steps[cursor])}`), h("dl", {},
            row(t("loss"), formatShort(data.loss[cursor])), row(t("smoothed"), formatShort(smoothed[cursor])),
            data.validation.steps.length ? row(t("validation"), formatShort(data.validation.loss[beside])) : [],
            row(t("learning_rate"), formatShort(data.lr[cursor]))));
        tip.style.left = `${at + 170 > width ? max(0, at - 170) : at + 12}px`;
    }

    function point(event) {
        if (!data.steps.length) return;
        const share = (event.clientX - canvas.getBoundingClientRect().left - LEFT) / (canvas.clientWidth - LEFT - RIGHT);
        const first = min(data.steps[0], 1), last = max(data.total || 0, data.steps[data.steps.length - 1], first + 1);
        cursor = nearest(data.steps, first + share * (last - first));
        draw();
    }
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    const leave = () => { cursor = -1; draw(); };
    canvas.addEventListener("pointerleave", leave);
    canvas.addEventListener("blur", leave);
    canvas.addEventListener("keydown", (event) => {
        const jump = max(1, round(data.steps.length / 50));
        const to = { ArrowLeft: cursor - jump, ArrowRight: cursor + jump, Home: 0, End: data.steps.length - 1 }[event.key];
        if (to === undefined || !data.steps.length) return;
        event.preventDefault();
        cursor = max(0, min(data.steps.length - 1, cursor < 0 && event.key === "ArrowLeft" ? data.steps.length - 1 : to));
        draw();
        canvas.setAttribute("aria-label", `${t("step")} ${data.steps[cursor]}: ${t("loss")} ${formatShort(data.loss[cursor])}`);
    });
    new ResizeObserver(draw).observe(frame);
    const theme = new MutationObserver(draw);
    theme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    signal.addEventListener("abort", () => theme.disconnect(), { once: true });

    return { element, update: (next) => { data = { validation: { steps: [], loss: [] }, ...next }; aside.hidden = !data.validation.steps.length; compute(); } };
}
