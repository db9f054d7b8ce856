// The editor above network_args: 3x3 convolutions, DyLoRA's unit, and how fast each block of the UNet learns.
//
// The field is the one truth: all that is shown here is read from its entries, and what is chosen here is written into
// them. Entries that this file does not know stay as they are. What is wrong with them the host says, at the field.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values);
    const FIELD = "network_args", MODULE = "network_module", RANK = "network_dim", DYLORA = "networks.dylora";
    const CURVES = { down: "down_lr_weight", mid: "mid_lr_weight", up: "up_lr_weight" };
    const THRESHOLD = "block_lr_zero_threshold";
    const CONV = ["conv_dim", "conv_alpha", "conv_block_dims", "conv_block_alphas"];
    const HIGHEST = 2; // of a slider; a number in the field may be larger

    // --- the entries of network_args --------------------------------------------------------------------------------
    const all = () => LT.trainValues.get(FIELD) || [];
    const nameOf = (entry) => entry.split("=", 1)[0].trim();
    const entry = (name) => {
        const found = all().find((one) => one.includes("=") && nameOf(one) === name);
        return found === undefined ? null : found.slice(found.indexOf("=") + 1).trim();
    };
    // {name: text, or null to take the entry out}. An entry keeps its place, a new one comes last.
    function write(changes) {
        const left = new Map(Object.entries(changes));
        const entries = all().flatMap((one) => {
            const name = nameOf(one);
            if (!(name in changes)) return [one];
            const text = left.get(name) ?? null; // of an entry that stood there twice, the first remains
            left.delete(name);
            return text === null ? [] : [`${name}=${text}`];
        });
        for (const [name, text] of left) if (text !== null) entries.push(`${name}=${text}`);
        LT.trainValues.set(FIELD, entries.length ? entries : null);
    }

    const number = (text) => (/^\s*\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : null);
    const short = (value, digits = 4) => String(Number(value.toFixed(digits)));

    // The weights of one stretch ("down", "mid", "up") as the trainer reads them; blocks without a number weigh 1.
    function readCurve(stretch, blocks) {
        const text = entry(CURVES[stretch]);
        const ones = new Array(blocks[stretch]).fill(1);
        if (text === null) return { weights: ones };
        if (stretch !== "mid" && !text.includes(",")) {
            const [preset, added] = text.split("+");
            const offset = added === undefined ? 0 : number(added);
            if (!Object.hasOwn(blocks.presets, preset) || offset === null) return { weights: ones, isUnread: true };
            return { weights: blocks.presets[preset][stretch].map((weight) => weight + offset), preset, offset };
        }
        const given = text.split(",").map((one) => (one.trim() ? number(one) : 0));
        if (!text || given.includes(null)) return { weights: ones, isUnread: true };
        return { weights: ones.map((one, index) => given[index] ?? one) };
    }
    const writeCurve = (stretch, weights) => write({ [CURVES[stretch]]: weights.every((weight) => weight === 1) ? null : weights.map((weight) => short(weight)).join(",") });

    // A DyLoRA has one rank for all, and `unit` is its own: the entries follow the fields they depend on.
    LT.networkFollow = function (name) {
        const values = LT.trainValues;
        const isDyLoRA = values.get(MODULE) === DYLORA;
        if (name === MODULE && !isDyLoRA && entry("unit") !== null) write({ unit: null });
        const rank = String(values.get(RANK));
        if (["", MODULE, RANK].includes(name) && isDyLoRA && entry("conv_dim") !== null && entry("conv_dim") !== rank) write({ conv_dim: rank });
    };

    // --- the picture ------------------------------------------------------------------------------------------------
    function svg(tag, properties, ...children) {
        const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
        for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
        element.append(...children.flat());
        return element;
    }
    const line = (points) => svg("polyline", { class: "lt-curve-line", points: points.map(([x, y]) => `${short(x, 1)},${short(y, 1)}`).join(" ") });
    const icon = (weights) => svg("svg", { viewBox: "0 0 34 16", class: "lt-curve-icon", "aria-hidden": "true" }, line(weights.map((weight, index) => [2 + (30 * index) / (weights.length - 1), 14 - 12 * weight])));

    // All weights from the first block down to the last block up; hollow points are blocks that are not trained.
    function drawCurve(element, blocks, weights, isOff) {
        const top = Math.min(HIGHEST, Math.max(1, ...weights));
        const height = (weight) => 86 - (76 * Math.min(weight, top)) / top;
        const points = weights.map((weight, index) => [10 + 20 * index, height(weight)]);
        element.replaceChildren(
            svg("rect", { class: "lt-curve-mid", x: 20 * blocks.down, y: 2, width: 20 * blocks.mid, height: 92, rx: 4 }),
            ...[0, 1].map((weight) => svg("line", { class: "lt-curve-grid", x1: 0, x2: 20 * weights.length, y1: height(weight), y2: height(weight) })),
            line(points),
            ...points.map(([x, y], index) => svg("circle", { class: isOff(weights[index]) ? "lt-curve-off" : "lt-curve-point", cx: x, cy: short(y, 1), r: 4 })));
    }

    // --- the panel of blocks ----------------------------------------------------------------------------------------
    function blocksPanel(blocks) {
        const stretches = Object.keys(CURVES);
        let side = "both"; // what a preset fills
        const sides = () => (side === "both" ? ["down", "up"] : [side]);
        const rows = stretches.flatMap((stretch) => Array.from({ length: blocks[stretch] }, (_, index) => sliderRow(blocks, stretch, index)));
        const picture = svg("svg", { viewBox: `0 0 ${20 * rows.length} 96`, class: "lt-curve", role: "img", "aria-label": LT.t("blocks_curve") });
        const changed = h("span", { class: "lt-chip lt-chip-changed", hidden: true });
        const unread = h("p", { class: "lt-wrong", role: "status", hidden: true });

        const presets = Object.entries(blocks.presets).map(([name, curves]) =>
            h("button", { type: "button", class: "lt-btn lt-btn-small", "data-preset": name, "aria-pressed": "false", onclick: () => fill(name) }, icon(curves.down), name));
        const choice = h("select", { class: "lt-input", id: "lt-net-side", onchange: () => { side = choice.value; show(); } },
            [["both", "blocks_both"], ["down", "blocks_down"], ["up", "blocks_up"]].map(([value, text]) => h("option", { value }, LT.t(text))));
        const added = h("input", { class: "lt-input", id: "lt-net-offset", type: "text", inputmode: "decimal", autocomplete: "off", placeholder: "0", oninput: () => shift() });
        const zero = h("input", { class: "lt-input", id: "lt-net-threshold", type: "text", inputmode: "decimal", autocomplete: "off", placeholder: "0", oninput: () => write({ [THRESHOLD]: zero.value.trim() || null }) });
        const reset = h("button", { type: "button", class: "lt-btn lt-btn-small lt-push", onclick: () => { added.value = ""; write(Object.fromEntries([...Object.values(CURVES), THRESHOLD].map((name) => [name, null]))); } }, LT.icon("reset"), LT.t("blocks_reset"));

        const textOf = (preset) => preset + (number(added.value) ? `+${short(number(added.value))}` : "");
        const fill = (preset) => write(Object.fromEntries(sides().map((stretch) => [CURVES[stretch], textOf(preset)])));
        // The number added to the presets that are there already.
        function shift() {
            LT.set(added, "aria-invalid", added.value.trim() && number(added.value) === null ? "true" : null);
            const now = sides().map((stretch) => [CURVES[stretch], readCurve(stretch, blocks).preset]).filter(([, preset]) => preset);
            if (now.length) write(Object.fromEntries(now.map(([name, preset]) => [name, textOf(preset)])));
        }

        function show() {
            const curves = Object.fromEntries(stretches.map((stretch) => [stretch, readCurve(stretch, blocks)]));
            const weights = stretches.flatMap((stretch) => curves[stretch].weights);
            const threshold = number(entry(THRESHOLD) || "0") ?? 0;
            const isOff = (weight) => weight <= threshold;
            const isConv = CONV.some((name) => entry(name) !== null);
            rows.forEach((row, index) => row.show(weights[index], isOff(weights[index]), blocks.without_layers.includes(index) || (!isConv && blocks.without_linear.includes(index))));
            drawCurve(picture, blocks, weights, isOff);
            const filled = new Set(sides().map((stretch) => curves[stretch].preset));
            for (const button of presets) LT.set(button, "aria-pressed", String(filled.size === 1 && filled.has(button.dataset.preset)));
            const offset = sides().map((stretch) => curves[stretch].offset).find((one) => one !== undefined);
            if (document.activeElement !== added && offset !== undefined) added.value = offset ? short(offset) : "";
            if (document.activeElement !== zero) zero.value = entry(THRESHOLD) || "";
            const count = weights.filter((weight) => weight !== 1).length;
            changed.hidden = !count;
            changed.textContent = LT.t("changed_count", { x: count });
            const wrong = stretches.filter((stretch) => curves[stretch].isUnread).map((stretch) => CURVES[stretch]);
            unread.hidden = !wrong.length;
            unread.textContent = wrong.length ? LT.t("blocks_unread", { x: wrong.join(", ") }) : "";
        }
        const element = h("details", { class: "lt-fold lt-blocks" },
            h("summary", {}, h("strong", {}, LT.t("blocks")), h("span", { class: "lt-subdued" }, LT.t("blocks_short")), changed),
            h("div", { class: "lt-blocks-body" }, h("p", { class: "lt-help" }, LT.t("blocks_hint")),
                h("figure", {}, picture, h("figcaption", { class: "lt-curve-names", "aria-hidden": "true" }, ["down", "mid", "up"].map((stretch) => h("span", {}, LT.t(`blocks_${stretch}`))))),
                h("div", { class: "lt-row lt-blocks-presets", role: "group", "aria-label": LT.t("blocks_fill") }, presets, reset),
                h("div", { class: "lt-network-numbers" }, labelled(LT.t("blocks_side"), choice), labelled(LT.t("blocks_offset"), added), labelled(LT.t("blocks_threshold"), zero)),
                unread, h("div", { class: "lt-u", role: "group", "aria-label": LT.t("blocks") }, rows.map((row) => row.element)),
                h("p", { class: "lt-help" }, LT.t("blocks_empty_hint"))));
        return { element, show };
    }

    // One block: name, slider, number. Down runs from the top, up from the bottom, so that they stand as in the U-Net.
    function sliderRow(blocks, stretch, index) {
        const name = { down: "IN", mid: "MID", up: "OUT" }[stretch] + (stretch === "mid" ? "" : String(index).padStart(2, "0"));
        const id = `lt-block-${name.toLowerCase()}`;
        const slider = h("input", { type: "range", class: "lt-slider", id, min: "0", max: String(HIGHEST), step: "0.05", oninput: () => {
            const { weights } = readCurve(stretch, blocks);
            weights[index] = Number(slider.value);
            writeCurve(stretch, weights);
        } });
        const shown = h("output", { for: id });
        const element = h("div", { class: `lt-block lt-block-${stretch}` }, h("label", { for: id }, name), slider, shown);
        if (stretch !== "mid") element.style.gridRow = String(stretch === "down" ? index + 1 : blocks.up - index);
        return {
            element,
            show(weight, isOff, isEmpty) {
                slider.value = String(weight);
                slider.style.setProperty("--lt-share", `${(100 * Math.min(weight, HIGHEST)) / HIGHEST}%`);
                LT.set(slider, "aria-valuetext", short(weight, 3));
                shown.textContent = short(weight, 2);
                element.classList.toggle("lt-block-off", isOff);
                element.classList.toggle("lt-block-empty", isEmpty);
                element.title = isEmpty ? LT.t("blocks_empty") : isOff ? LT.t("blocks_off") : "";
            },
        };
    }
    const labelled = (text, input) => h("div", { class: "lt-network-number" }, h("label", { for: input.id }, text), input);

    // --- the editor -------------------------------------------------------------------------------------------------
    // Puts the editor above the field of network_args; the field stays what it is.
    LT.networkEditor = function (field) {
        const values = LT.trainValues;
        const blocks = blocksPanel(field.control.blocks);
        const plain = (name, otherwise) => {
            const input = h("input", { class: "lt-input", id: `lt-net-${name}`, type: "text", inputmode: "decimal", autocomplete: "off", placeholder: otherwise, oninput: () => write({ [name]: input.value.trim() || null }) });
            return input;
        };
        const conv = h("input", { type: "checkbox", role: "switch", class: "lt-switch", id: "lt-net-conv", "aria-describedby": "lt-net-conv-help", onchange: () => {
            const rank = values.get(MODULE) === DYLORA ? values.get(RANK) : 4;
            write({ ...Object.fromEntries(CONV.map((name) => [name, null])), ...(conv.checked ? { conv_dim: String(rank) } : {}) });
        } });
        const rank = plain("conv_dim"), alpha = plain("conv_alpha", "1");
        const unit = h("select", { class: "lt-input", id: "lt-net-unit", onchange: () => write({ unit: unit.value === "1" ? null : unit.value }) });
        const convNumbers = [labelled(LT.t("net_conv_dim"), rank), labelled(LT.t("net_conv_alpha"), alpha)];
        const unitNumber = labelled(LT.t("net_unit"), unit);
        const panel = h("div", { class: "lt-network-panel" },
            h("div", { class: "lt-network-conv" }, conv, h("div", {}, h("label", { for: conv.id }, LT.t("net_conv")), h("p", { class: "lt-help", id: "lt-net-conv-help" }, LT.t("net_conv_hint")))),
            h("div", { class: "lt-network-numbers" }, convNumbers, unitNumber), blocks.element);

        function show() {
            const kind = values.get(MODULE), isDyLoRA = kind === DYLORA;
            panel.hidden = !["networks.lora", DYLORA].includes(kind);
            conv.checked = CONV.some((name) => entry(name) !== null);
            for (const one of convNumbers) one.hidden = !conv.checked;
            rank.disabled = isDyLoRA;
            for (const [input, name] of [[rank, "conv_dim"], [alpha, "conv_alpha"]]) if (document.activeElement !== input) input.value = entry(name) || "";
            unitNumber.hidden = !isDyLoRA;
            const most = values.get(RANK), now = entry("unit") || "1";
            const fitting = Array.from({ length: most }, (_, index) => index + 1).filter((size) => most % size === 0).map(String);
            LT.fill(unit, [...new Set([...fitting, now])].map((value) => h("option", { value }, value)));
            unit.value = now;
            blocks.show();
        }
        show();
        return { ...field, follows: [MODULE, RANK], element: h("div", { class: "lt-network" }, panel, field.element), show() { field.show(); show(); } };
    };
})();
