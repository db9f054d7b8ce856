// The panel of blocks: for each block of the UNet the weight of its learning rate, its rank and its alpha, one of them at
// a time, in the shape of the U (drawn with block_parts.js). It reads and writes entries of network_args
// (args.js).
import { fill, h, set } from "../../base/elements.js";
import { icon } from "../../base/icons.js";
import * as args from "./args.js";
import * as parts from "./block_parts.js";
import { t } from "./texts.js";
import { values } from "../values.js";

const CURVES = { down: "down_lr_weight", mid: "mid_lr_weight", up: "up_lr_weight" };
const THRESHOLD = "block_lr_zero_threshold";
const WEIGHTS = "weights";
// What can be edited. Of the shapes: whose ranks an alpha belongs to, and whether the numbers are whole.
const SHAPES = {
    block_dims: { isWhole: true },
    block_alphas: { ranks: "block_dims" },
    conv_block_dims: { isConv: true, isWhole: true },
    conv_block_alphas: { isConv: true, ranks: "conv_block_dims" },
};
const MODES = [WEIGHTS, ...Object.keys(SHAPES)];
const MOST_WEIGHT = 2; // of a slider; a number in the field may be larger
const MOST = { rank: 2048, number: 1e6 };
let mode = WEIGHTS, chosenLayout = null; // stay when the form is drawn anew

// --- the layout: how many blocks this model has ---------------------------------------------------------------------
// The chosen base model's, when the host knows it; else what the person chose; else what the entries were written for.
function layoutOf(spec) {
    const known = spec.families[values.family];
    if (known) return { name: known, isKnown: true };
    const counts = Object.keys(SHAPES).map((name) => args.read(name)?.split(",").length);
    const written = Object.keys(spec.layouts).find((name) => counts.includes(total(spec.layouts[name])));
    return { name: chosenLayout || written || "sd", isKnown: false };
}
const total = (layout) => layout.base + layout.down + layout.mid + layout.up + layout.out;

// Each block: {name, index among all, stretch, place in the stretch}.
function blocksOf(layout) {
    const names = { base: "EMB", down: "IN", mid: "MID", up: "OUT", out: "END" };
    return Object.keys(names).flatMap((stretch) => Array.from({ length: layout[stretch] }, (_, place) => {
        const isOne = layout[stretch] === 1;
        return { stretch, place, name: names[stretch] + (isOne ? "" : String(place).padStart(stretch === "mid" ? 1 : 2, "0")) };
    })).map((block, index) => ({ ...block, index }));
}

// --- reading --------------------------------------------------------------------------------------------------------
// The weights of one stretch as the trainer reads them; blocks without a number weigh 1.
function readCurve(stretch, layout) {
    const text = args.read(CURVES[stretch]);
    const ones = new Array(layout[stretch]).fill(1);
    if (text === null) return { weights: ones };
    if (stretch !== "mid" && !text.includes(",")) {
        const [preset, added] = text.split("+");
        const offset = added === undefined ? 0 : args.number(added);
        if (!Object.hasOwn(layout.presets, preset) || offset === null) return { weights: ones, isUnread: true };
        return { weights: layout.presets[preset][stretch].map((weight) => weight + offset), preset, offset };
    }
    const given = text.split(",").map((one) => (one.trim() ? args.number(one) : 0));
    if (!text || given.includes(null)) return { weights: ones, isUnread: true };
    return { weights: ones.map((one, index) => given[index] ?? one) };
}

// The number that a block has where none is given for it.
function usual(name) {
    if (name === WEIGHTS) return 1;
    if (!SHAPES[name].isConv) return Number(values.get(SHAPES[name].ranks ? "network_alpha" : "network_dim")) || 0;
    const text = args.read(SHAPES[name].ranks ? "conv_alpha" : "conv_dim");
    return (text === null ? null : args.number(text)) ?? (SHAPES[name].ranks ? 1 : 0);
}
// {numbers, isGiven, problem}: of all blocks. Numbers that cannot be read, or are for another model, are left alone.
function readShape(name, layout) {
    const text = args.read(name), count = total(layout);
    const numbers = new Array(count).fill(usual(name));
    if (text === null) return { numbers };
    const given = text.split(",").map(args.number);
    if (given.includes(null) || (SHAPES[name].isWhole && !given.every(Number.isInteger))) return { numbers, isGiven: true, problem: t("blocks_unread", { x: name }) };
    if (given.length !== count) return { numbers, isGiven: true, problem: t("blocks_count", { x: name, found: given.length, count }) };
    return { numbers: given, isGiven: true };
}
// Everything at once: {weights, curves, threshold, block_dims: {numbers, ...}, ...}.
function readAll(layout) {
    const curves = Object.fromEntries(Object.keys(CURVES).map((stretch) => [stretch, readCurve(stretch, layout)]));
    const ones = (count) => new Array(count).fill(1);
    const weights = [...ones(layout.base), ...Object.keys(CURVES).flatMap((stretch) => curves[stretch].weights), ...ones(layout.out)];
    const shapes = Object.fromEntries(Object.keys(SHAPES).map((name) => [name, readShape(name, layout)]));
    return { ...shapes, curves, weights: { numbers: weights, isGiven: Object.values(CURVES).some((name) => args.read(name) !== null) }, threshold: args.number(args.read(THRESHOLD) || "0") ?? 0 };
}

// --- writing --------------------------------------------------------------------------------------------------------
const writeCurve = (stretch, weights) => args.write({ [CURVES[stretch]]: weights.every((weight) => weight === 1) ? null : weights.map((weight) => args.short(weight)).join(",") });
const joined = (numbers) => numbers.map((one) => args.short(one)).join(",");
// With alphas go the ranks that they belong to: without any, the trainer refuses them or takes no notice.
function writeShape(name, numbers, now) {
    const changes = { [name]: joined(numbers) };
    const ranks = SHAPES[name].ranks;
    const isEnough = ranks && (now[ranks].isGiven || (ranks === "block_dims" && (now.weights.isGiven || now.conv_block_dims.isGiven)));
    if (ranks && !isEnough) changes[ranks] = joined(now[ranks].numbers);
    args.write(changes);
}

// --- what fills many blocks at once ---------------------------------------------------------------------------------------
const field = (tag, id, more) => h(tag, { class: "lt-input", id, ...(tag === "input" ? { type: "text", inputmode: "decimal", autocomplete: "off" } : {}), ...more });
const small = (text, action, more = {}) => h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: action, ...more }, text);

// Curves for the weights of one side or both, a number that is added, and up to where a weight counts as 0.
function curveTools(layout) {
    let side = "both";
    const { number, short, write, labelled } = args;
    const sides = () => (side === "both" ? ["down", "up"] : [side]);
    const presets = Object.entries(layout.presets).map(([name, curves]) => small([parts.icon(curves.down), name], () => useCurve(name), { "data-preset": name, "aria-pressed": "false" }));
    const choice = field("select", "lt-net-side", { onchange: () => { side = choice.value; show(readAll(layout)); } });
    choice.append(...[["both", "blocks_both"], ["down", "blocks_down"], ["up", "blocks_up"]].map(([value, text]) => h("option", { value }, t(text))));
    const added = field("input", "lt-net-offset", { placeholder: "0", oninput: () => shift() });
    const zero = field("input", "lt-net-threshold", { placeholder: "0", oninput: () => write({ [THRESHOLD]: zero.value.trim() || null }) });
    const textOf = (preset) => preset + (number(added.value) ? `+${short(number(added.value))}` : "");
    const useCurve = (preset) => write(Object.fromEntries(sides().map((stretch) => [CURVES[stretch], textOf(preset)])));
    // The number added to the presets that are there already.
    function shift() {
        set(added, "aria-invalid", added.value.trim() && number(added.value) === null ? "true" : null);
        const now = sides().map((stretch) => [CURVES[stretch], readCurve(stretch, layout).preset]).filter(([, preset]) => preset);
        if (now.length) write(Object.fromEntries(now.map(([name, preset]) => [name, textOf(preset)])));
    }
    function show({ curves }) {
        const filled = new Set(sides().map((stretch) => curves[stretch].preset));
        for (const button of presets) set(button, "aria-pressed", String(filled.size === 1 && filled.has(button.dataset.preset)));
        const offset = sides().map((stretch) => curves[stretch].offset).find((one) => one !== undefined);
        if (document.activeElement !== added && offset !== undefined) added.value = offset ? short(offset) : "";
        if (document.activeElement !== zero) zero.value = args.read(THRESHOLD) || "";
    }
    const element = h("div", { class: "lt-blocks-tools" }, h("div", { class: "lt-row lt-blocks-presets", role: "group", "aria-label": t("blocks_fill") }, presets),
        h("div", { class: "lt-network-numbers" }, labelled(t("blocks_side"), choice), labelled(t("blocks_offset"), added), labelled(t("blocks_threshold"), zero)));
    return { element, show, clear: () => (added.value = "") };
}

// One number for many blocks, and the numbers that suggest themselves.
function numberTools(name, layout, blocks) {
    const { number, labelled } = args;
    const { ranks, isConv, isWhole } = SHAPES[name];
    const choice = field("select", "lt-net-where");
    choice.append(...["all", "down", "mid", "up"].map((value) => h("option", { value }, t(`blocks_${value}`))));
    const value = field("input", "lt-net-value", { oninput: () => set(value, "aria-invalid", null), onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); event.stopPropagation(); setAll(); } } });
    function setAll() {
        const wanted = number(value.value);
        const isFine = wanted !== null && wanted <= (isWhole ? MOST.rank : MOST.number) && (!isWhole || Number.isInteger(wanted));
        set(value, "aria-invalid", isFine ? null : "true");
        if (!isFine) return value.focus();
        const now = readAll(layout);
        writeShape(name, now[name].numbers.map((one, index) => (choice.value === "all" || blocks[index].stretch === choice.value ? wanted : one)), now);
    }
    const take = (make) => () => { const now = readAll(layout); writeShape(name, make(now), now); };
    const rankToAll = () => t("blocks_rank_to_all", { x: args.short(usual(name)) });
    const suggestions = ranks
        ? [[t("blocks_half_rank"), (now) => now[ranks].numbers.map((one) => one / 2)], [t("blocks_as_rank"), (now) => now[ranks].numbers]]
        : [[rankToAll(), (now) => now[name].numbers.map(() => usual(name))], ...(isConv ? [[t("blocks_as_linear"), (now) => now.block_dims.numbers]] : [])];
    const buttons = suggestions.map(([text, make]) => small(text, take(make)));
    const element = h("div", { class: "lt-network-numbers lt-blocks-fill" }, labelled(t("blocks_set_where"), choice), labelled(t("blocks_to"), value),
        h("div", { class: "lt-row" }, small(t("blocks_set"), setAll), buttons));
    const show = () => {
        value.placeholder = args.short(usual(name));
        if (!ranks) buttons[0].textContent = rankToAll();
    };
    return { element, show, clear: () => (value.value = "") };
}

// --- the panel ----------------------------------------------------------------------------------------------------------
// spec: what form_spec.block_panel gives. Returns {element, show()}.
export function blocksPanel(spec) {
    let drawn = null; // {layout, mode, rows, tools} of what stands there
    const tops = {}; // of the sliders, by mode: they grow, and do not move under the finger
    const picture = parts.svg("svg", { class: "lt-curve", role: "img" });
    const changed = h("span", { class: "lt-chip lt-chip-changed", hidden: true });
    const said = h("p", { class: "lt-wrong", role: "status", hidden: true });
    const hint = h("p", { class: "lt-help" }), faint = h("p", { class: "lt-help" });
    const family = h("div", { class: "lt-blocks-family" });
    const tools = h("div"), u = h("div", { class: "lt-u", role: "group", "aria-label": t("blocks") });
    const modes = MODES.map((name) => h("label", { class: "lt-segment" }, h("input", { type: "radio", name: "lt-blocks-mode", value: name, checked: name === mode, onchange: () => { mode = name; show(); } }), h("span", {}, t(`blocks_mode_${name}`), h("i", { class: "lt-segment-dot", hidden: true, title: t("changed") }))));
    const reset = h("button", { type: "button", class: "lt-btn lt-btn-small lt-push", onclick: () => {
        drawn.tools.clear();
        delete tops[mode];
        const names = mode === WEIGHTS ? [...Object.values(CURVES), THRESHOLD] : mode === "conv_block_dims" ? [mode, "conv_block_alphas"] : [mode];
        args.write(Object.fromEntries(names.map((name) => [name, null])));
    } }, icon("reset"), t("blocks_reset"));
    const body = h("div", { class: "lt-blocks-body" },
        h("figure", {}, picture, h("figcaption", { class: "lt-curve-names", "aria-hidden": "true" }, ["down", "mid", "up"].map((stretch) => h("span", {}, t(`blocks_${stretch}`))))),
        tools, u, faint);

    function build(name, layout) {
        const blocks = blocksOf(layout);
        const shown = mode === WEIGHTS ? blocks.filter((block) => block.stretch in CURVES) : blocks; // the others have no weight
        const rows = shown.map((block) => parts.row(block, change));
        for (const { element, block } of rows) {
            const above = mode === WEIGHTS ? 0 : layout.base;
            if (block.stretch === "mid") element.style.gridRow = String(above + layout.down + 1 + block.place);
            else if (["base", "out"].includes(block.stretch)) element.style.gridRow = "1";
            else element.style.gridRow = String(above + (block.stretch === "down" ? block.place + 1 : layout.up - block.place));
        }
        drawn = { name, layout, mode, blocks, shown, rows, tools: mode === WEIGHTS ? curveTools(layout) : numberTools(mode, layout, blocks) };
        fill(u, rows.map((row) => row.element));
        fill(tools, drawn.tools.element);
    }
    function change(index, number) {
        const { layout, blocks } = drawn;
        if (mode === WEIGHTS) {
            const { stretch, place } = blocks[index];
            const { weights } = readCurve(stretch, layout);
            weights[place] = number;
            return writeCurve(stretch, weights);
        }
        const now = readAll(layout);
        writeShape(mode, now[mode].numbers.map((one, at) => (at === index ? number : one)), now);
    }

    function showFamily({ name, isKnown }) {
        const text = JSON.stringify([name, isKnown]);
        if (family.dataset.text === text) return;
        family.dataset.text = text;
        const title = (one) => t(`blocks_layout_${one}`, { x: total(spec.layouts[one]) });
        const choice = h("select", { class: "lt-input", "aria-label": t("blocks_layout"), onchange: () => { chosenLayout = choice.value; show(); } }, Object.keys(spec.layouts).map((one) => h("option", { value: one }, title(one))));
        choice.value = name;
        fill(family, isKnown ? h("span", { class: "lt-subdued" }, title(name)) : choice);
    }

    function show() {
        const place = layoutOf(spec), layout = spec.layouts[place.name];
        if (drawn?.name !== place.name || drawn.mode !== mode) build(place.name, layout);
        showFamily(place);
        const now = readAll(layout);
        const isConv = args.isConv(), isWhole = Boolean(SHAPES[mode]?.isWhole);
        const isStill = now.weights.numbers.map((weight, index) => weight <= now.threshold && drawn.blocks[index].stretch in CURVES);
        const none = (name) => now[name].numbers.map((rank) => rank === 0);
        const [flat, flatConv] = [none("block_dims"), none("conv_block_dims")];
        const isOff = drawn.blocks.map((_, index) => isStill[index] || (mode === WEIGHTS ? flat[index] && (!isConv || flatConv[index]) : (SHAPES[mode].isConv ? flatConv : flat)[index]));
        const bare = mode === WEIGHTS ? layout.bare[isConv ? "c3lier" : "lierla"] : SHAPES[mode].isConv ? layout.bare.conv : layout.bare[isConv ? "linear" : "lierla"];
        const { numbers, isGiven, problem } = now[mode];
        const level = usual(mode);
        tops[mode] = mode === WEIGHTS ? MOST_WEIGHT : Math.max(tops[mode] || 0, 2 * level, SHAPES[mode].ranks ? Math.max(...now[SHAPES[mode].ranks].numbers) : 8, ...numbers, 2);
        const step = mode === WEIGHTS ? 0.05 : isWhole || tops[mode] > 32 ? 1 : 0.5;
        for (const row of drawn.rows) {
            const { index, stretch } = row.block;
            const isLocked = Boolean(problem) || Boolean(mode === WEIGHTS && now.curves[stretch].isUnread);
            row.show({ value: numbers[index], top: tops[mode], step, isWhole, most: mode !== WEIGHTS && isWhole ? MOST.rank : MOST.number, isOff: isOff[index], isEmpty: bare.includes(index), isUsual: !isGiven, isLocked });
        }
        const shown = drawn.shown.map((block) => block.index);
        set(picture, "aria-label", t("blocks_curve", { x: t(`blocks_mode_${mode}`) }));
        parts.drawCurve(picture, drawn.shown, shown.map((index) => numbers[index]), shown.map((index) => isOff[index]), level, mode === WEIGHTS ? MOST_WEIGHT : Infinity);
        drawn.tools.show(now);
        showState(now, drawn.blocks, isConv, problem);
    }

    // What is changed where, what cannot be edited and why.
    function showState(now, blocks, isConv, problem) {
        for (const segment of modes) segment.querySelector(".lt-segment-dot").hidden = !now[segment.firstChild.value].isGiven;
        const count = blocks.filter((_, index) => MODES.some((name) => now[name].numbers[index] !== usual(name))).length;
        changed.hidden = !count;
        changed.textContent = t("changed_count", { x: count });
        hint.textContent = t(`blocks_hint_${mode}`);
        const isShape = mode !== WEIGHTS;
        const stop = isShape && args.isDyLoRA() ? "blocks_no_dylora" : isShape && SHAPES[mode].isConv && !isConv ? "blocks_no_conv" : "";
        const unread = isShape ? [] : Object.keys(CURVES).filter((stretch) => now.curves[stretch].isUnread).map((stretch) => CURVES[stretch]);
        const text = stop ? t(stop) : problem || (unread.length ? t("blocks_unread", { x: unread.join(", ") }) : "");
        said.hidden = !text;
        said.textContent = text;
        said.classList.toggle("lt-wrong-mild", Boolean(stop) && !now[mode].isGiven);
        body.hidden = Boolean(stop);
        reset.disabled = !now[mode].isGiven && !(mode === WEIGHTS && args.read(THRESHOLD) !== null);
        faint.textContent = t(isShape ? "blocks_faint_shape" : "blocks_faint");
    }

    const element = h("details", { class: "lt-fold lt-blocks" },
        h("summary", {}, h("strong", {}, t("blocks")), h("span", { class: "lt-subdued" }, t("blocks_short")), changed),
        h("div", { class: "lt-blocks-body" },
            h("div", { class: "lt-blocks-head" }, h("div", { class: "lt-segments", role: "radiogroup", "aria-label": t("blocks_mode") }, modes), family),
            h("div", { class: "lt-row lt-blocks-about" }, hint, reset), said, body));
    return { element, show };
}
