// What would spoil a training with this data set: each finding with why it matters, the pictures it is about, and what mends it.
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { say } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { sentence } from "../base/problems.js";
import { values } from "../train/values.js";
import { t } from "./texts.js";
import { terms, toggled } from "./words.js";

export function findingsPanel(signal, data, filter) {
    const list = h("ul", { class: "lt-data-findings" });
    const again = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(again, ask) }, icon("reset"), t("look_again"));
    const element = h("div", { class: "lt-stack" }, h("div", { class: "lt-row" }, again), list);

    const ask = () => data.look();
    function show() {
        const on = new Set(terms(data.filter)), told = data.found;
        if (told) fill(list, told.findings.map((one) => line(one, on)), !told.findings.length && h("li", { class: "lt-fine" }, icon("check"), t("nothing_found")), told.waiting > 0 && h("li", { class: "lt-subdued" }, t(told.unread ? "not_looked_at" : "not_compared", { x: formatNumber(told.unread || told.waiting) })));
    }
    function line(one, on) {
        const term = `finding:${one.code}`;
        return h("li", { class: `lt-data-finding lt-data-finding-${one.level}` }, icon(one.level === "info" ? "info" : "warning"), h("div", { class: "lt-stack" },
            h("span", {}, sentence(one.message)),
            h("div", { class: "lt-row" },
                one.ids?.length > 0 && h("button", { type: "button", class: "lt-chip", "aria-pressed": String(on.has(term)), onclick: () => filter.put(toggled(data.filter, term, `-${term}`)) }, t("images_count", { x: formatNumber(one.ids.length) })),
                one.fix && h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: (event) => busy(event.currentTarget, () => mend(one)) }, one.fix.label)),
            (one.why || one.advice) && h("details", { class: "lt-fold" }, h("summary", {}, t("why")), h("p", { class: "lt-subdued" }, one.why, " ", one.advice))));
    }
    async function mend(one) {
        if (one.fix.name === "set") { // what mends it is in the form of the training
            values.merge(one.fix.values);
            say(t("mended_in_form"));
        } else if (!(await data.mend({ code: one.code, where: one.where, values: values.send() }))) return;
        await ask();
    }
    data.watch(signal, (what) => ["pictures", "findings"].includes(what) && element.isConnected && show());
    data.isFollowingFindings = () => element.isConnected;
    return { element, show: () => {
        if (!data.found) fill(list, h("li", { class: "lt-subdued", role: "status" }, t("looking")));
        show();
        ask().catch((error) => fill(list, h("li", { class: "lt-wrong", role: "alert" }, error.message)));
    } };
}
