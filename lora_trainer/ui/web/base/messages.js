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
    const toast = put(message, level);
    if (toast) setTimeout(() => toast.remove(), Math.max(level === "error" ? 8000 : 2500, 80 * message.length)); // as long as it takes to read
}

function put(message, level, ...more) {
    if ([...toasts.children].some((toast) => toast.textContent === message)) return null; // said already
    const toast = h("div", { class: `lt-toast lt-toast-${level}` }, message, more);
    toasts.append(toast);
    return toast;
}

// What an error says; one that nobody foresaw goes to the console besides.
export function logged(error) {
    if (!(error instanceof ApiError || error instanceof Lost)) console.error("LoRA Trainer:", error);
    return error.message;
}
export function report(error) {
    if (toasts) say(logged(error), "error");
}

// Why what a person asked for was not done: it stays until it is closed, or until something is asked for anew.
export function refuse(error) {
    if (!toasts) return;
    const close = h("button", { type: "button", class: "lt-toast-close", "aria-label": t("close"), title: t("close"), onclick: () => close.parentElement.remove() }, icon("close"));
    put(logged(error), "error lt-toast-stays", close);
}
export function retract() {
    for (const toast of toasts?.querySelectorAll(".lt-toast-stays") || []) toast.remove();
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
