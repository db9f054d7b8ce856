// The editor above network_args: 3x3 convolutions, DyLoRA's unit, and the panel of blocks (lora_trainer_blocks.js).
//
// The field is the one truth: all that is shown here is read from its entries, and what is chosen here is written into
// them. Entries that this file does not know stay as they are. What is wrong with them the host says, at the field.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values);
    const FIELD = "network_args", MODULE = "network_module", RANK = "network_dim", ALPHA = "network_alpha";
    const CONV = ["conv_dim", "conv_alpha", "conv_block_dims", "conv_block_alphas"];

    // --- the entries of network_args --------------------------------------------------------------------------------
    const all = () => LT.trainValues.get(FIELD) || [];
    const nameOf = (entry) => entry.split("=", 1)[0].trim();
    // The text of an entry, or null where it is not given.
    function read(name) {
        const found = all().find((one) => one.includes("=") && nameOf(one) === name);
        return found === undefined ? null : found.slice(found.indexOf("=") + 1).trim();
    }
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
    // A text as a number from 0 on, or null; a number as a text without needless digits.
    const number = (text) => (/^\s*\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : null);
    const short = (value, digits = 4) => String(Number(value.toFixed(digits)));
    // The parts of the editor that the chosen kind of network has, as the host says.
    let kinds = {};
    const has = (part) => (kinds[LT.trainValues.get(MODULE)] || []).includes(part);
    const isDyLoRA = () => has("unit");
    const isConv = () => CONV.some((name) => read(name) !== null);
    const labelled = (text, input) => h("div", { class: "lt-network-number" }, h("label", { for: input.id }, text), input);
    LT.networkArgs = { read, write, number, short, labelled, isDyLoRA, isConv };

    // A DyLoRA has one rank for all, and `unit` is its own: the entries follow the fields they depend on.
    LT.networkFollow = function (name) {
        if (name === MODULE && !isDyLoRA() && read("unit") !== null) write({ unit: null });
        const rank = String(LT.trainValues.get(RANK));
        if (["", MODULE, RANK].includes(name) && isDyLoRA() && read("conv_dim") !== null && read("conv_dim") !== rank) write({ conv_dim: rank });
    };

    // --- the editor -------------------------------------------------------------------------------------------------
    // Puts the editor above the field of network_args; the field stays what it is.
    LT.networkEditor = function (field) {
        const values = LT.trainValues;
        kinds = field.control.blocks.kinds;
        const blocks = LT.blocksPanel(field.control.blocks);
        const plain = (name, otherwise) => {
            const input = h("input", { class: "lt-input", id: `lt-net-${name}`, type: "text", inputmode: "decimal", autocomplete: "off", placeholder: otherwise, oninput: () => write({ [name]: input.value.trim() || null }) });
            return input;
        };
        const conv = h("input", { type: "checkbox", role: "switch", class: "lt-switch", id: "lt-net-conv", "aria-describedby": "lt-net-conv-help", onchange: () => {
            const rank = isDyLoRA() ? values.get(RANK) : 4;
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
            panel.hidden = !has("conv") && !has("blocks");
            conv.checked = isConv();
            for (const one of convNumbers) one.hidden = !conv.checked;
            rank.disabled = isDyLoRA();
            for (const [input, name] of [[rank, "conv_dim"], [alpha, "conv_alpha"]]) if (document.activeElement !== input) input.value = read(name) || "";
            unitNumber.hidden = !isDyLoRA();
            const most = values.get(RANK), now = read("unit") || "1";
            const fitting = Array.from({ length: most }, (_, index) => index + 1).filter((size) => most % size === 0).map(String);
            LT.fill(unit, [...new Set([...fitting, now])].map((value) => h("option", { value }, value)));
            unit.value = now;
            blocks.show();
        }
        show();
        return { ...field, follows: [MODULE, RANK, ALPHA, "family"], element: h("div", { class: "lt-network" }, panel, field.element), show() { field.show(); show(); } };
    };
})();
