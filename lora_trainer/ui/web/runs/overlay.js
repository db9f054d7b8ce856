// The curves of several runs in one picture: loss, below it validation where there is any, and the learning rate. Each run has a
// colour and a kind of line of its own, so that they can be told apart without colours too.
import { fill, h } from "../base/elements.js";
import { recall, remember } from "../base/memory.js";
import { formatNumber, formatShort } from "../base/numbers.js";
import { nearest, range, smooth, thin, ticks } from "./chart.js";
import { t } from "./texts.js";

const { floor, max, min, round } = Math;
const LEFT = 54, RIGHT = 20, TOP = 20, GAP = 30, BOTTOM = 24, SMALL = 64;
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [1, 4], [14, 5]];
export const colorOf = (index) => `var(--lt-run-${index + 1})`;

// A short piece of a run's line, for legends and headings.
export function lineOf(index) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [key, value] of Object.entries({ viewBox: "0 0 30 8", class: "lt-line", "aria-hidden": "true" })) svg.setAttribute(key, value);
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [key, value] of Object.entries({ x1: 0, y1: 4, x2: 30, y2: 4, "stroke-dasharray": DASHES[index].join(" ") })) line.setAttribute(key, value);
    line.style.stroke = colorOf(index);
    svg.append(line);
    return svg;
}

const validationOf = ({ curve }) => ({ steps: curve.validation?.steps || [], values: curve.validation?.loss || [] });

// Returns {element, update(runs)}; runs as GET compare tells them.
export function overlayChart(signal) {
    let runs = [], panes = [], cursor = null, amount = recall("smoothing", 0.5);
    const canvas = h("canvas", { class: "lt-chart-canvas", tabindex: "0", role: "img", "aria-label": t("compare_chart") });
    const tip = h("div", { class: "lt-chart-tip", hidden: true });
    const empty = h("p", { class: "lt-chart-empty" }, t("chart_empty"));
    const keys = h("ul", { class: "lt-chart-keys" });
    const slider = h("input", { type: "range", min: "0", max: "1", step: "0.05", value: String(amount), "aria-label": t("smoothing"),
        oninput: () => { amount = Number(slider.value); remember("smoothing", amount); compute(); } });
    const frame = h("div", { class: "lt-chart-frame lt-overlay-frame" }, canvas, tip, empty);
    const element = h("div", { class: "lt-chart" }, h("div", { class: "lt-chart-legend" }, keys, h("label", { class: "lt-chart-smoothing" }, t("smoothing"), slider)), frame);

    // One pane for each kind of curve that any run has: [{title, series: [{steps, values}] by run, low}]
    function compute() {
        const loss = { title: t("loss"), series: runs.map(({ curve }) => ({ steps: curve.steps, values: smooth(curve.steps, curve.loss, amount) })) };
        const validation = { title: t("validation"), series: runs.map(validationOf) };
        const rate = { title: t("learning_rate"), isRate: true, series: runs.map(({ curve }) => ({ steps: curve.steps, values: curve.lr })) };
        panes = [loss, validation, rate].filter((pane) => pane.series.some((one) => one.values.length));
        draw();
    }
    const steps = () => panes.flatMap((pane) => pane.series.flatMap((one) => [one.steps[0], one.steps.at(-1)])).filter(Number.isFinite);
    const extent = () => [min(1, ...steps()), max(2, ...steps())];

    function draw() {
        const [width, height] = [frame.clientWidth, frame.clientHeight];
        if (!width || !height) return;
        const ratio = window.devicePixelRatio || 1;
        [canvas.width, canvas.height] = [round(width * ratio), round(height * ratio)];
        const pen = canvas.getContext("2d");
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        empty.hidden = panes.length > 0;
        if (!panes.length) return;
        const style = getComputedStyle(element), ink = (name) => style.getPropertyValue(name).trim();
        const [first, last] = extent();
        const x = (step) => LEFT + ((step - first) / (last - first)) * (width - LEFT - RIGHT);
        pen.font = `11px ${style.fontFamily}`;
        pen.lineJoin = "round";
        let top = TOP;
        panes.forEach((pane, index) => {
            const tall = index ? SMALL : height - TOP - BOTTOM - (panes.length - 1) * (SMALL + GAP);
            drawPane(pen, pane, { top, tall, width, x, ink });
            top += tall + GAP;
        });
        pen.fillStyle = ink("--lt-subdued");
        pen.textAlign = "center";
        for (const step of ticks(first, last, max(2, width / 100))) if (Number.isInteger(step)) pen.fillText(formatNumber(step), x(step), height - 7);
        mark(pen, x, height, ink, width);
    }

    function drawPane(pen, pane, { top, tall, width, x, ink }) {
        const every = pane.series.flatMap((one) => one.values).filter(Number.isFinite);
        const [low, high] = pane.isRate ? [0, every.reduce((one, other) => max(one, other), 0) * 1.15 || 1] : range(every);
        const y = (value) => top + tall * (1 - (value - low) / (high - low));
        pen.lineWidth = 1;
        pen.textAlign = "right";
        for (const value of ticks(low, high, max(2, tall / 44)).slice(0, 12)) {
            const at = round(y(value)) + 0.5;
            pen.strokeStyle = ink("--lt-line");
            pen.beginPath();
            pen.moveTo(LEFT, at);
            pen.lineTo(width - RIGHT, at);
            pen.stroke();
            pen.fillStyle = ink("--lt-subdued");
            pen.fillText(formatShort(value), LEFT - 7, at + 3.5);
        }
        pen.textAlign = "left";
        pen.fillText(pane.title, LEFT + 2, top - 7);
        pen.save();
        pen.beginPath();
        pen.rect(LEFT, top - 3, width - LEFT - RIGHT + 2, tall + 6);
        pen.clip();
        pane.series.forEach(({ steps: at, values }, index) => {
            const points = thin(at, values, max(2, floor(width)));
            pen.strokeStyle = pen.fillStyle = ink(`--lt-run-${index + 1}`);
            pen.lineWidth = 2;
            pen.setLineDash(DASHES[index]);
            pen.beginPath();
            for (const [step, least, most] of points) {
                pen.lineTo(x(step), y(least));
                if (most !== least) pen.lineTo(x(step), y(most));
            }
            pen.stroke();
            pen.setLineDash([]);
            if (points.length === 1) pen.fillRect(x(points[0][0]) - 2, y(points[0][1]) - 2, 4, 4);
        });
        pen.restore();
    }

    // What each run has at the cursor's step; a run that has ended before says its last.
    const valuesAt = (step) => runs.map((run, index) => [run, index, panes.map((pane) => {
        const { steps: at, values } = pane.series[index];
        return values.length ? values[nearest(at, step)] : NaN;
    })]);

    function mark(pen, x, height, ink, width) {
        tip.hidden = cursor === null;
        if (tip.hidden) return;
        pen.strokeStyle = ink("--lt-subdued");
        pen.setLineDash([3, 3]);
        pen.beginPath();
        pen.moveTo(x(cursor), TOP);
        pen.lineTo(x(cursor), height - BOTTOM);
        pen.stroke();
        pen.setLineDash([]);
        fill(tip, h("strong", {}, `${t("step")} ${formatNumber(cursor)}`), h("table", {},
            h("thead", {}, h("tr", {}, h("td"), panes.map((pane) => h("th", { scope: "col" }, pane.title)))),
            h("tbody", {}, valuesAt(cursor).map(([run, index, values]) => h("tr", {}, h("th", { scope: "row" }, lineOf(index), " ", run.name), values.map((value) => h("td", {}, formatShort(value))))))));
        tip.style.left = `${x(cursor) > width / 2 ? max(0, x(cursor) - tip.offsetWidth - 12) : x(cursor) + 12}px`;
    }

    function point(event) {
        const [first, last] = extent();
        const share = (event.clientX - canvas.getBoundingClientRect().left - LEFT) / (canvas.clientWidth - LEFT - RIGHT);
        cursor = max(first, min(last, round(first + share * (last - first))));
        draw();
    }
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    const leave = () => { cursor = null; draw(); };
    canvas.addEventListener("pointerleave", leave);
    canvas.addEventListener("blur", leave);
    canvas.addEventListener("keydown", (event) => {
        const [first, last] = extent(), jump = max(1, round((last - first) / 50));
        const to = { ArrowLeft: (cursor ?? last + jump) - jump, ArrowRight: (cursor ?? first - jump) + jump, Home: first, End: last }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        cursor = max(first, min(last, to));
        draw();
        canvas.setAttribute("aria-label", `${t("step")} ${cursor}: ${valuesAt(cursor).map(([run, , [loss]]) => `${run.name} ${formatShort(loss)}`).join(", ")}`);
    });
    new ResizeObserver(draw).observe(frame);
    const theme = new MutationObserver(draw);
    theme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    signal.addEventListener("abort", () => theme.disconnect(), { once: true });

    return {
        element,
        update(next) {
            runs = next;
            fill(keys, runs.map((run, index) => h("li", {}, lineOf(index), " ", run.name)));
            compute();
        },
    };
}
