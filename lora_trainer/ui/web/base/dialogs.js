// What stands between a press of a button and what it does.
import { app } from "./app.js";
import { h } from "./elements.js";
import { note, report } from "./messages.js";
import { t } from "./texts.js";

// A question (a text, or elements) with two answers; resolves to true when it was confirmed. Escape and Cancel say no.
export const ask = (question, action, { isHarmless = false } = {}) =>
    new Promise((resolve) => {
        const yes = h("button", { type: "submit", class: `lt-btn ${isHarmless ? "lt-btn-primary" : "lt-btn-danger"}`, value: "yes" }, action);
        const dialog = h("dialog", { class: "lt-ask", "aria-label": action },
            h("form", { method: "dialog" }, typeof question === "string" ? h("p", {}, question) : question,
                h("div", { class: "lt-row lt-end" }, h("button", { type: "submit", class: "lt-btn", value: "", formnovalidate: true }, t("cancel")), yes)));
        dialog.addEventListener("close", () => {
            resolve(dialog.returnValue === "yes");
            dialog.remove();
        });
        app.mount.querySelector(".lt-app").append(dialog);
        dialog.showModal();
        (dialog.querySelector("input") || yes).focus();
    });

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
    element.ariaBusy = "true"; // not disabled, which would take the focus away
    try {
        await action();
    } catch (error) {
        report(error);
    } finally {
        element.ariaBusy = null;
    }
}
