// What would spoil the training: each line with why it matters, its pictures, and a button that mends it, as one step that can be undone.
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { post } from "../base/host.js";
import { note, say } from "../base/messages.js";
import { go } from "../base/place.js";
import { formatNumber } from "../base/numbers.js";
import { places } from "../data/places.js";
import { followCopies, picturesChanged } from "./concepts/folders.js";
import { t } from "./texts.js";
import { values } from "./values.js";

// Returns {element, show(problems, plan)}.
export function findingsView() {
    const list = h("ul", { class: "lt-stack lt-findings" }), last = h("div", { role: "status" });
    const element = h("div", {}, list, last);
    const opened = (problem) => post("datasets", { folders: [problem.folder] });

    async function showPictures(problem) {
        const { id } = await opened(problem);
        await post(`datasets/${encodeURIComponent(id)}/findings`, { values: values.send() });
        places.set(id, { filter: `finding:${problem.code}` });
        go("data", id);
    }

    async function mend(problem) {
        if (problem.fix.name === "set") {
            for (const [name, value] of Object.entries(problem.fix.values)) values.set(name, value);
            return;
        }
        const { id } = await opened(problem);
        const where = problem.where === problem.folder ? problem.where : ""; // one file of many: all of them
        const done = await post(`datasets/${encodeURIComponent(id)}/mend`, { code: problem.code, where, values: values.send() });
        followCopies(done.moved);
        const undo = h("button", { type: "button", class: "lt-link", onclick: () => busy(undo, () => takeBack(done.dataset)) }, t("undo_mend"));
        fill(last, done.step && h("p", { class: "lt-note lt-note-info" }, `${done.step.title} (${formatNumber(done.changed)}). `, undo));
        if (done.conflicts.length) say(done.conflicts[0].message, "error");
        picturesChanged();
    }

    async function takeBack(id) {
        const undone = await post(`datasets/${encodeURIComponent(id)}/undo`, {});
        followCopies(undone.moved);
        if (undone.conflicts.length) say(undone.conflicts[0].message, "error");
        else fill(last, undone.step && h("p", { class: "lt-note lt-note-info" }, `${t("mend_undone")}: ${undone.step.title} (${formatNumber(undone.changed)}).`));
        picturesChanged();
    }

    // A mend of the form's can be made where the form has its fields; it is taken back with the field's own button.
    const canMend = (fix) => fix && (fix.name !== "set" || Object.keys(fix.values).every((name) => values.control(name)));

    function line(problem) {
        const button = canMend(problem.fix) && h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(button, () => mend(problem)) }, problem.fix.label);
        const pictures = problem.count > 0 && problem.folder && h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": t("show_pictures"), title: t("show_pictures"), onclick: () => busy(pictures, () => showPictures(problem)) }, t("show_short"));
        return h("li", { class: "lt-finding", "data-code": problem.code }, note({ ...problem, where: "" }),
            problem.why && h("details", { class: "lt-fold lt-why" }, h("summary", {}, t("why")), h("p", { class: "lt-subdued" }, problem.why)),
            h("div", { class: "lt-row" }, button, pictures));
    }

    let shown = "";
    return {
        element,
        show(problems, { waiting = 0, unread = 0 }) {
            const text = JSON.stringify([problems, waiting, unread]);
            if (text === shown) return; // an open fold stays open
            shown = text;
            fill(list, problems.map(line), waiting > 0 && h("li", { class: "lt-subdued" }, t(unread ? "not_read" : "not_compared", { x: formatNumber(unread || waiting) })));
        },
    };
}
