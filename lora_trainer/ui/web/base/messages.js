// What is said to the person: short messages at the bottom of the page, notes in its place, texts put into the clipboard.
import { app } from "./app.js";
import { h } from "./elements.js";
import { ApiError, Lost } from "./host.js";
import { icon } from "./icons.js";
import { placeName } from "./folders.js";
import { bare, sentence } from "./problems.js";
import { t } from "./texts.js";

let toasts = null;

// The place of the short messages, made anew with the page.
export const toastPlace = () => (toasts = h("div", { class: "lt-toasts", role: "status", "aria-live": "polite" }));

// A short message at the bottom of the page, read out by screen readers.
export function say(message, level = "info") {
    if ([...toasts.children].some((toast) => toast.textContent === message)) return; // said already
    const toast = h("div", { class: `lt-toast lt-toast-${level}` }, message);
    toasts.append(toast);
    setTimeout(() => toast.remove(), Math.max(level === "error" ? 8000 : 2500, 80 * message.length)); // as long as it takes to read
}

export function report(error) {
    if (!(error instanceof ApiError || error instanceof Lost)) console.error("LoRA Trainer:", error);
    if (toasts) say(error.message, "error");
}

// A problem with its level and what to do about it.
export const note = (problem) =>
    h("div", { class: `lt-note lt-note-${problem.level || "error"}`, role: problem.level === "info" ? null : "alert" },
        icon(problem.level === "info" ? "info" : "warning"),
        h("div", {}, problem.where && h("code", { title: problem.where }, placeName(problem.where)), h("span", {}, sentence(bare(problem))), problem.advice && h("p", {}, problem.advice)));

async function copyText(text) {
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        const area = h("textarea", { value: text, class: "lt-offscreen" }); // a page without https has no clipboard
        app.mount.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
    }
    say(t("copied"));
}
export const copyButton = (text, label) =>
    h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => copyText(typeof text === "function" ? text() : text) },
        icon("copy"), label || t("copy"));
