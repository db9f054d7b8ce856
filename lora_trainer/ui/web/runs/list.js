// The list of runs: the one at work, those that wait in the order of the queue, the others with the newest first.
import { ask, busy } from "../base/dialogs.js";
import { h } from "../base/elements.js";
import { newsOfRuns, post, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { keyed } from "../base/keyed.js";
import { formatDate } from "../base/numbers.js";
import { go } from "../base/place.js";
import { poll } from "../base/poll.js";
import { resume } from "./actions.js";
import { badge, isInterrupted, progressBar, statusLine } from "./standing.js";
import { t } from "./texts.js";

const LEAST = 2, MOST = 6; // runs side by side

const button = (drawing, name, run, action, isAtEnd = false) =>
    h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-icon", "aria-label": t(name, { x: run.name }), title: t(name, { x: run.name }), "aria-disabled": isAtEnd ? "true" : null, onclick: (event) => isAtEnd || busy(event.currentTarget, action) }, icon(drawing));

// What can be done with a waiting run without opening it.
function waiting(run, last, refresh) {
    const tell = async (action, body) => {
        await post(`runs/${encodeURIComponent(run.id)}/${action}`, body);
        await refresh();
    };
    const at = run.queue_position;
    return h("div", { class: "lt-run-queue" },
        button("up", "queue_up", run, () => tell("move", { position: at - 1 }), at <= 1),
        button("down", "queue_down", run, () => tell("move", { position: at + 1 }), at >= last),
        button("close", "queue_remove", run, async () => (await ask(t("queue_remove_ask", { x: run.name }), t("remove"))) && tell("delete")));
}

const resumeButton = (run, refresh) =>
    h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": t("resume_row", { x: run.name }), onclick: (event) => busy(event.currentTarget, async () => { await resume(run, run.id); await refresh(); }) }, t("resume"));

const order = (run) => (run.active ? 0 : run.state === "queued" ? run.queue_position || 1 : Infinity);

function row(run, last, refresh, pick) {
    return h("li", {}, pick(run), h("a", { class: "lt-run", href: `#lora-run=${encodeURIComponent(run.id)}` },
        h("span", { class: "lt-run-picture" }, run.picture ? h("img", { src: urlOf(run.picture), alt: "", loading: "lazy" }) : icon("box")),
        h("span", { class: "lt-run-text" },
            h("span", { class: "lt-run-title" }, h("strong", {}, run.name), badge(run)),
            h("span", { class: "lt-run-line" }, statusLine(run)),
            run.active && progressBar(run)),
        h("time", { class: "lt-run-time" }, formatDate(run.created))),
        run.state === "queued" && waiting(run, last, refresh),
        isInterrupted(run) && h("div", { class: "lt-run-queue" }, resumeButton(run, refresh)));
}

const none = () => h("li", { class: "lt-empty" }, icon("box"), h("strong", {}, t("no_runs")), h("p", {}, t("no_runs_hint")),
    h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => go("train") }, t("go_train")));

// Which runs are to stand side by side: a box in each row, and the button.
function choosing() {
    const chosen = new Set();
    const button = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => go("runs", [...chosen].join(",")) });
    const element = h("div", { class: "lt-row", hidden: true }, button);
    function show() {
        button.textContent = chosen.size < LEAST ? t("compare_none") : t("compare", { x: chosen.size });
        button.disabled = chosen.size < LEAST || chosen.size > MOST;
        button.title = button.disabled ? t("compare_hint", { least: LEAST, most: MOST }) : "";
    }
    function boxFor(run) {
        const box = h("input", { type: "checkbox", class: "lt-run-box", checked: chosen.has(run.id), "aria-label": t("compare_choose", { x: run.name }), onchange: () => { if (box.checked) chosen.add(run.id); else chosen.delete(run.id); show(); } });
        return box;
    }
    function offer(runs) {
        for (const id of chosen) if (!runs.some((run) => run.id === id)) chosen.delete(id);
        element.hidden = runs.length < LEAST;
        show();
    }
    return { element, boxFor, offer };
}

export function runsView(signal) {
    const list = h("ul", { class: "lt-runs" });
    const picking = choosing();
    const view = h("section", { class: "lt-card" }, h("header", { class: "lt-runs-head" }, h("h2", {}, t("runs")), picking.element), list);
    const draw = keyed(list, ({ run }) => run?.id, ({ run, last }) => (run ? row(run, last, refresh, picking.boxFor) : none()));
    let known = {};
    async function refresh() {
        known = await newsOfRuns("runs", known);
        const { runs } = known;
        const last = Math.max(0, ...runs.map((run) => run.queue_position || 0));
        const sorted = [...runs].sort((one, other) => (order(one) === order(other) ? 0 : order(one) - order(other)));
        picking.offer(runs);
        draw(runs.length ? sorted.map((run) => ({ run, last: run.state === "queued" && last })) : [{}]);
    }
    poll(signal, 2, refresh);
    return view;
}
