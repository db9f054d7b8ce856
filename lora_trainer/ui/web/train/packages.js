// A package that the chosen optimizer lacks: asked for, fetched by the host, its progress, and how to cancel it.
import { ask, busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { get, post } from "../base/host.js";
import { icon } from "../base/icons.js";
import { note } from "../base/messages.js";
import { formatBytes } from "../base/numbers.js";
import { poll } from "../base/poll.js";
import { t } from "./texts.js";

// done() is called when something was installed. show(Package of docs/api.md, or null).
export function packageOffer(signal, done) {
    let wanted = null, job = null, halt = null;
    const element = h("div", { class: "lt-package", role: "status", hidden: true });

    function show(found) {
        if (found?.name !== wanted?.name && job?.state !== "running") job = null;
        wanted = found || null;
        draw();
        if (wanted && !job) adopt();
    }

    function draw() {
        const isRunning = job?.state === "running";
        element.hidden = !wanted && !isRunning;
        if (element.hidden) return;
        if (isRunning) return fill(element, progress());
        const size = formatBytes(wanted.bytes), about = { name: wanted.name, version: wanted.version, size };
        const install = h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-primary", onclick: () => busy(install, () => start(about)) }, icon("download"), t("package_install", about));
        fill(element, h("p", {}, t("package_needed", about)), job?.state === "failed" && note({ level: "error", message: job.message }), h("div", { class: "lt-row" }, install));
    }

    function progress() {
        const share = job.total > 0 ? Math.round((100 * job.done) / job.total) : null;
        const cancel = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(cancel, async () => told(await post(`packages/${job.id}/stop`))) }, t("cancel"));
        return [
            h("p", {}, t("package_fetching", { name: job.tool })),
            h("div", { class: `lt-bar${share === null ? " lt-bar-waiting" : ""}`, role: "progressbar", "aria-valuenow": share, "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": job.tool }, h("div", { class: "lt-bar-fill", style: share === null ? "" : `width:${share}%` })),
            h("div", { class: "lt-row" }, cancel),
        ];
    }

    async function start(about) {
        if (!(await ask(t("package_ask", about), t("package_yes")))) return;
        told(await post("packages", { name: wanted.name }));
        follow();
    }

    // One that another page of ours is fetching already.
    let isAsked = false;
    async function adopt() {
        if (isAsked) return;
        isAsked = true;
        const { active } = await get("packages").catch(() => ({ active: null }));
        if (active && !signal.aborted) {
            told(await get(`packages/${active}`));
            follow();
        }
    }

    function follow() {
        halt?.();
        halt = poll(signal, 0.5, async () => {
            if (job.state === "running") told(await get(`packages/${job.id}`));
            if (job.state === "running") return 0.5;
            halt();
            if (job.state === "finished") done();
            return 0;
        });
    }

    function told(answer) {
        job = answer;
        draw();
    }

    return { element, show };
}
