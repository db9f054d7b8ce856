// A rank that is to stay below that of the file which another field (`field.below`) has chosen.
import { h } from "../base/elements.js";
import { readNumber } from "../base/numbers.js";
import { t } from "./texts.js";

// Half of the file's rank is proposed when it is chosen; a rank that is not below is told of. `rankOf(file)`: undefined where it is not
// known. Returns {element, look()}, to be called at each change of the form.
export function rankBelow(input, field, values, rankOf) {
    const element = h("p", { class: "lt-wrong lt-wrong-mild", role: "status", hidden: true });
    let proposedFor = values[field.below];
    function look() {
        const file = values[field.below], rank = rankOf(file);
        if (file !== proposedFor && rank > 1) input.value = values[field.name] = String(Math.floor(rank / 2));
        proposedFor = file;
        element.hidden = !(rank && readNumber(String(values[field.name])) >= rank);
        element.textContent = element.hidden ? "" : t("tool_rank_not_below", { x: rank });
    }
    look();
    return { element, look };
}
