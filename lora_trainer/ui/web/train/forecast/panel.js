// What the training will need, measured by a few of its real steps in a worker: on request, and before a start where that
// takes seconds. What was measured is known while nothing changes.
import { ask, busy } from "../../base/dialogs.js";
import { fill, h } from "../../base/elements.js";
import { get, post } from "../../base/host.js";
import { note } from "../../base/messages.js";
import { sleep } from "../../base/timing.js";
import { values } from "../values.js";
import { reportOf } from "./report.js";
import { t } from "./texts.js";

const PAUSE = 500; // milliseconds

// check() asks the host anew. Returns {element, show(forecast), before()}; before() is asked when a training is to start and
// resolves to whether it shall.
export function forecastPanel(signal, check) {
    let forecast = null, job = null, failure = "", failed = null, isBefore = false, isSkipped = false;
    const tried = new Map(); // savings that were measured -> {needed, fits}
    const element = h("section", { class: "lt-need", hidden: true, "aria-label": t("need_title") });
    const button = (text, action, style = "") => {
        const made = h("button", { type: "button", class: `lt-btn lt-btn-small ${style}`, onclick: () => busy(made, action) }, text);
        return made;
    };

    // Measures what `asked` holds; resolves to its report, or null where there is none.
    async function measure(asked) {
        failure = "";
        job = { done: 0, total: 0 };
        draw();
        try {
            const { id } = await post("rehearsals", { values: asked, overwrite: values.overwrite });
            for (;;) {
                job = await get(`rehearsals/${id}`);
                if (job.state !== "running" || signal.aborted) break;
                draw();
                await sleep(PAUSE);
            }
            if (job.state === "failed") failure = job.message;
            return job.report || null;
        } finally {
            job = null;
            draw();
        }
    }

    // A failure is told while the form stays as it was; that of a saving leaves what the draft itself came to.
    const attempt = (isSaving) => (failed = { draft: JSON.stringify(values.send()), isSaving });

    async function run() {
        attempt(false);
        const report = await measure(values.send());
        if (report && forecast) forecast = { ...forecast, report };
        draw();
        check();
        return report;
    }

    async function tryOut(changed) {
        attempt(true);
        const report = await measure({ ...values.send(), ...changed });
        if (report) tried.set(JSON.stringify(changed), report.memory);
        draw();
    }

    const stop = async () => job?.id && post(`rehearsals/${job.id}/stop`);

    async function before() {
        if (forecast?.automatic && !forecast.report) {
            isBefore = true;
            isSkipped = false;
            try {
                const measured = run().catch((error) => { failure = error.message; });
                element.scrollIntoView({ block: "nearest" });
                const report = await measured;
                if (!report) return isSkipped || Boolean(failure); // stopped by the person: not started
                if (!report.memory.fits) { // it stands there, with what would need less
                    element.scrollIntoView({ block: "nearest" });
                    return false;
                }
            } finally {
                isBefore = false;
                draw();
            }
        } else if (forecast?.report && !forecast.report.memory.fits) return ask(t("need_ask"), t("need_anyway"));
        return !signal.aborted;
    }

    let shown = "";
    function draw() {
        element.hidden = !forecast && !job;
        if (failure && failed?.draft !== JSON.stringify(values.send())) failure = "";
        const text = JSON.stringify([forecast, job, failure, isBefore, [...tried]]);
        if (element.hidden || text === shown) return; // an open fold stays open
        shown = text;
        const title = h("h3", {}, t("need_title"));
        if (job) {
            const share = job.total ? Math.round((100 * job.done) / job.total) : 0;
            fill(element, title,
                h("div", { class: "lt-bar", role: "progressbar", "aria-valuenow": share, "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": t("need_title") }, h("div", { class: "lt-bar-fill", style: `width:${share}%` })),
                h("p", { class: "lt-subdued", role: "status" }, t(`need_doing_${Math.min(job.done, 6)}`)),
                h("div", { class: "lt-row" }, button(t("need_stop"), stop, "lt-btn-danger"), isBefore && button(t("need_skip"), () => { isSkipped = true; return stop(); })));
            return;
        }
        const { report, hindrance } = forecast;
        const again = button(t(report ? "need_again" : "need_measure"), run);
        again.disabled = Boolean(hindrance);
        fill(element, title, failure && note({ level: "warning", message: t("need_failed", { x: failure }) }),
            failure && !failed?.isSaving ? null : report ? reportOf(report, tried, tryOut) : h("p", { class: "lt-subdued" }, hindrance || t("need_hint")), h("div", { class: "lt-row" }, again));
    }

    return {
        element,
        before,
        show(told) {
            if (JSON.stringify(told?.report) !== JSON.stringify(forecast?.report)) tried.clear();
            forecast = told || null;
            draw();
        },
    };
}
