// The editor above network_args: 3x3 convolutions, DyLoRA's unit, LoRA+, and the panel of blocks (blocks.js).
//
// The field is the one truth: all that is shown here is read from its entries, and what is chosen here is written into
// them. Entries that this file does not know stay as they are. What is wrong with them the host says, at the field.
import { fill, h } from "../../base/elements.js";
import { values } from "../values.js";
import { ALPHA, CONV, MODULE, RANK, has, isConv, isDyLoRA, labelled, read, useKinds, write } from "./args.js";
import { blocksPanel } from "./blocks.js";
import { t } from "./texts.js";

// Puts the editor above the field of network_args; the field stays what it is.
export function networkEditor(field) {
    useKinds(field.control.blocks.kinds);
    const blocks = blocksPanel(field.control.blocks);
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
    const plus = plain("loraplus_lr_ratio", "1");
    const plusNumber = labelled(t("net_plus"), plus);
    const convNumbers = [labelled(t("net_conv_dim"), rank), labelled(t("net_conv_alpha"), alpha)];
    const unitNumber = labelled(t("net_unit"), unit);
    const panel = h("div", { class: "lt-network-panel" },
        h("div", { class: "lt-network-conv" }, conv, h("div", {}, h("label", { for: conv.id }, t("net_conv")), h("p", { class: "lt-help", id: "lt-net-conv-help" }, t("net_conv_hint")))),
        h("div", { class: "lt-network-numbers" }, convNumbers, unitNumber, plusNumber), blocks.element);

    function show() {
        panel.hidden = !has("conv") && !has("blocks");
        conv.checked = isConv();
        for (const one of convNumbers) one.hidden = !conv.checked;
        rank.disabled = isDyLoRA();
        for (const [input, name] of [[rank, "conv_dim"], [alpha, "conv_alpha"], [plus, "loraplus_lr_ratio"]]) if (document.activeElement !== input) input.value = read(name) || "";
        unitNumber.hidden = !isDyLoRA();
        plusNumber.hidden = !has("plus");
        const most = values.get(RANK), now = read("unit") || "1";
        const fitting = Array.from({ length: most }, (_, index) => index + 1).filter((size) => most % size === 0).map(String);
        fill(unit, [...new Set([...fitting, now])].map((value) => h("option", { value }, value)));
        unit.value = now;
        blocks.show();
    }
    show();
    return { ...field, follows: [MODULE, RANK, ALPHA, "family"], element: h("div", { class: "lt-network" }, panel, field.element), show() { field.show(); show(); } };
}
