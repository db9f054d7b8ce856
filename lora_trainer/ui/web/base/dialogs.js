// What stands between a press of a button and what it does.
import { app } from "./app.js";
import { h } from "./elements.js";
import { report } from "./messages.js";
import { t } from "./texts.js";

// A question with two answers; resolves to true when it was confirmed. Escape and Cancel say no.
export const ask = (question, action) =>
    new Promise((resolve) => {
        const yes = h("button", { type: "submit", class: "lt-btn lt-btn-danger", value: "yes" }, action);
        const dialog = h("dialog", { class: "lt-ask", "aria-label": action },
            h("form", { method: "dialog" }, h("p", {}, question),
                h("div", { class: "lt-row lt-end" }, h("button", { type: "submit", class: "lt-btn", value: "" }, t("cancel")), yes)));
        dialog.addEventListener("close", () => {
            resolve(dialog.returnValue === "yes");
            dialog.remove();
        });
        app.mount.querySelector(".lt-app").append(dialog);
        dialog.showModal();
        yes.focus();
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
