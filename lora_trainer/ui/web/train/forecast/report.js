// A report of what was measured: whether it fits, time and sizes, what takes how much, and what would need less.
import { busy } from "../../base/dialogs.js";
import { h } from "../../base/elements.js";
import { note } from "../../base/messages.js";
import { formatBytes, formatDuration, formatShort } from "../../base/numbers.js";
import { labelOf } from "../concepts/scope.js";
import { values } from "../values.js";
import { t } from "./texts.js";

const size = (bytes) => formatBytes(bytes ?? NaN);
const where = (phase) => t(`need_in_${phase}`);

// `tried` has what savings came to that were measured on request; tryOut(values) measures one.
export function reportOf(report, tried, tryOut) {
    const { memory, time, files } = report;
    return [
        verdict(memory),
        h("dl", { class: "lt-plan-cells" }, [
            ["need_memory", size(memory.needed)],
            ["need_time", formatDuration(time.total ?? NaN)],
            ["need_step", Number.isFinite(time.per_step) ? t("need_seconds", { x: formatShort(time.per_step) }) : "–"],
            files && ["need_file", size(files.one)],
            files && ["need_disk", size(files.needed)],
        ].filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value)))),
        memory.savings?.length ? savings(memory.savings, tried, tryOut) : null,
        others(memory.others || []),
        details(report),
        (report.warnings || []).map((message) => note({ level: "info", message })),
    ];
}

function verdict(memory) {
    const told = { needed: size(memory.needed), free: size(memory.free) };
    if (memory.fits) return h("p", { class: `lt-note lt-note-${memory.tight ? "warning" : "info"} lt-need-fits` }, t(memory.tight ? "need_tight" : "need_fits", told));
    if (memory.needed === null) return note({ level: "error", message: t("need_unknown", { ...told, where: where(memory.full_in || "step") }) });
    return note({ level: "error", message: t(memory.estimated ? "need_about" : "need_too_large", told) });
}

function savings(list, tried, tryOut) {
    return h("div", {}, h("h3", {}, t("need_savings")), h("ul", { class: "lt-stack lt-savings" }, list.filter((one) => Object.keys(one.values).every((name) => values.control(name))).map((one) => {
        const known = tried.get(JSON.stringify(one.values)), needed = known ? known.needed : one.needed;
        const isMeasured = known || one.measured, fits = known ? known.fits : one.fits;
        const named = Object.entries(one.values).map(([name, value]) => `${labelOf(name)}: ${value === true ? t("need_on") : value}`).join(", ");
        const apply = h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": `${t("need_set")}: ${named}`, onclick: () => { for (const [name, value] of Object.entries(one.values)) values.set(name, value); } }, t("need_set"));
        const measure = !isMeasured && h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": `${t("need_try")}: ${named}`, onclick: () => busy(measure, () => tryOut(one.values)) }, t("need_try"));
        return h("li", {}, h("span", {}, named), h("span", { class: "lt-subdued" }, [t("need_with", { x: size(needed) }), t(isMeasured ? "need_measured" : "need_computed"), fits && t("need_enough")].filter(Boolean).join(" · ")), h("span", { class: "lt-row lt-end" }, apply, measure));
    })));
}

function others(list) {
    if (!list.length) return null;
    return h("div", {}, h("h3", {}, t("need_others")), table(list.map((one) => [one.who || one.name || "–", t("need_process", { x: one.pid }), one.bytes === null ? t("need_not_told") : size(one.bytes)])));
}

function details({ memory, time, on_card: isOnCard }) {
    const parts = Object.entries(memory.parts || {}).filter(([, bytes]) => bytes), times = Object.entries(time.parts || {}).filter(([, seconds]) => seconds >= 0.5);
    return h("details", { class: "lt-fold" }, h("summary", {}, t("need_details")),
        !isOnCard && h("p", { class: "lt-subdued" }, t("need_main_memory")),
        h("h3", {}, t("need_peaks")), table(memory.phases.map((one) => [where(one.name), size(one.peak)])),
        parts.length ? [h("h3", {}, t("need_held")), table(parts.map(([name, bytes]) => [t(`need_part_${name}`), size(bytes)]))] : null,
        times.length ? [h("h3", {}, t("need_times")), table(times.map(([name, seconds]) => [where(name), formatDuration(seconds)]))] : null);
}

const table = (rows) => h("table", { class: "lt-table" }, h("tbody", {}, rows.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell))))));
