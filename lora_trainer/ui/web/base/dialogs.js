// What stands between a press of a button and what it does.
import { app } from "./app.js";
import { h } from "./elements.js";
import { note, refuse, retract } from "./messages.js";
import { t } from "./texts.js";

// A question (a text, or elements) with answers: [[value, label, class]], the last one at hand. Resolves to the value of the one that
// was chosen, to "" by Escape and Cancel.
export const answerTo = (question, answers) =>
    new Promise((resolve) => {
        const buttons = answers.map(([value, label, style]) => h("button", { type: "submit", class: `lt-btn ${style}`, value }, label));
        const dialog = h("dialog", { class: "lt-ask", "aria-label": answers.at(-1)[1] },
            h("form", { method: "dialog" }, typeof question === "string" ? h("p", {}, question) : question,
                h("div", { class: "lt-row lt-end" }, h("button", { type: "submit", class: "lt-btn", value: "", formnovalidate: true }, t("cancel")), buttons)));
        dialog.addEventListener("close", () => {
            resolve(dialog.returnValue);
            dialog.remove();
        });
        app.mount.querySelector(".lt-app").append(dialog);
        dialog.showModal();
        (dialog.querySelector("input") || buttons.at(-1)).focus();
    });

// The same with two answers: true when it was confirmed.
export const ask = (question, action, { isHarmless = false } = {}) =>
    answerTo(question, [["yes", action, isHarmless ? "lt-btn-primary" : "lt-btn-danger"]]).then((answer) => answer === "yes");

// What stands in the way of something, or is to be known before: problems, and a button that closes.
export const tell = (problems, heading) =>
    new Promise((resolve) => {
        const close = h("button", { type: "submit", class: "lt-btn" }, t("close"));
        const dialog = h("dialog", { class: "lt-ask", "aria-label": heading, onclose: () => { resolve(); dialog.remove(); } },
            h("form", { method: "dialog" }, h("h2", {}, heading), problems.map(note), h("div", { class: "lt-row lt-end" }, close)));
        app.mount.querySelector(".lt-app").append(dialog);
        dialog.showModal();
        close.focus();
    });

// A button cannot be pressed twice while what it started goes on; an error is shown.
export async function busy(element, action) {
    if (element.ariaBusy) return;
    retract();
    element.ariaBusy = "true"; // not disabled, which would take the focus away
    try {
        await action();
    } catch (error) {
        refuse(error);
    } finally {
        element.ariaBusy = null;
    }
}
