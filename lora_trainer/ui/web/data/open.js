// Which data set is looked at: folders of this machine, pictures dropped here, those of the training, or one opened before.
import { app } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { folderName } from "../base/folders.js";
import { getPatiently, post } from "../base/host.js";
import { icon } from "../base/icons.js";
import { recall, remember } from "../base/memory.js";
import { report, say } from "../base/messages.js";
import { formatDate, formatNumber } from "../base/numbers.js";
import { go } from "../base/place.js";
import { trainFrom } from "../train/concepts/folders.js";
import { F } from "../train/fields.js";
import { transfer } from "../train/transfer.js";
import { values } from "../train/values.js";
import { t } from "./texts.js";

const SHOWN = 8; // data sets that are offered again

// The data set that was looked at last, to which the tab leads; "" where another is to be chosen.
export const lastOpened = () => recall("data.last", "");
export const rememberOpened = (id) => remember("data.last", id);

// Opens these folders as one data set, and shows it.
export async function openFolders(folders) {
    const opened = await post("datasets", { folders });
    go("data", opened.id);
}

export const nameOf = (folders) => folders.map(folderName).join(" + ");

// The form trains from this data set.
export function trainWith(opened) {
    const left = trainFrom(opened.folders);
    if (left) say(t("train_with_left", { x: formatNumber(left) }));
    go("train");
}

// The form goes on from the last training's LoRA with the pictures that have changed since.
export async function trainChanged(id) {
    const made = await post(`datasets/${encodeURIComponent(id)}/retrain`, {});
    values.take(made.values);
    say(t("train_changed_done", { x: formatNumber(made.chosen), all: formatNumber(made.of) }));
    go("train");
}

export function openingView(signal) {
    const said = h("p", { class: "lt-wrong", role: "alert", hidden: true });
    const bar = h("div", { class: "lt-bar-fill" });
    const progress = h("div", { class: "lt-upload-progress", role: "status", hidden: true }, h("div", { class: "lt-bar" }, bar), h("span", { class: "lt-subdued" }, t("sending")));
    const typed = h("textarea", { class: "lt-input", id: "lt-data-folders", rows: "2", spellcheck: "false", placeholder: t("folders_placeholder") });
    const button = h("button", { type: "submit", class: "lt-btn lt-btn-primary" }, t("open"));
    const open = (element, folders) => busy(element, async () => {
        said.hidden = true;
        try {
            await openFolders(folders);
        } catch (error) {
            said.textContent = error.message;
            said.hidden = false;
        }
    });
    const start = () => {
        const folders = typed.value.split("\n").map((line) => line.trim().replace(/^"(.*)"$/, "$1")).filter(Boolean);
        if (folders.length) return open(button, folders);
        said.textContent = t("folders_empty");
        said.hidden = false;
        return typed.focus();
    };
    typed.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.shiftKey) return;
        event.preventDefault();
        start();
    });

    const picker = h("input", { type: "file", multiple: true, class: "lt-offscreen", tabindex: "-1", "aria-hidden": "true", accept: [...app.form.uploads.images, ...app.form.uploads.captions].join(","), onchange: () => take(transfer.chosen(picker)) });
    const take = (drop) => transfer.take(drop, () => "", (answer) => signal.aborted || open(button, [answer.folder]));
    const zone = h("div", { class: "lt-drop" }, icon("upload"), h("strong", {}, t("drop_here")), h("button", { type: "button", class: "lt-btn", onclick: () => picker.click() }, t("choose_files")), picker, progress);
    transfer.watch(signal, () => {
        progress.hidden = !transfer.isBusy();
        bar.style.width = `${transfer.share * 100}%`;
    });
    const mark = (isOver) => zone.classList.toggle("lt-drop-over", isOver);
    for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, (event) => { event.preventDefault(); mark(true); });
    zone.addEventListener("dragleave", () => mark(false));
    zone.addEventListener("drop", async (event) => {
        event.preventDefault();
        event.stopPropagation(); // the Web UI sends dropped pictures to its own fields
        mark(false);
        take(await transfer.filesOf(event.dataTransfer).catch((error) => report(error) || { files: [], unread: [] }));
    });

    const training = values.get(F.images);
    const list = h("ul", { class: "lt-data-before" });
    const offer = (datasets) => fill(list,
        training && h("li", {}, choice(training, t("of_training"), (event) => open(event.currentTarget, [training]))),
        datasets.filter((one) => !(one.folders.length === 1 && one.folders[0] === training)).slice(0, SHOWN).map((one) =>
            h("li", {}, choice(nameOf(one.folders), `${one.folders.join(", ")} · ${formatDate(one.opened)}`, () => go("data", one.id)))));
    offer([]);
    getPatiently("datasets").then(({ datasets }) => signal.aborted || offer(datasets)).catch(report);
    return h("section", { class: "lt-card lt-data-open" },
        h("header", { class: "lt-card-head" }, h("div", {}, h("h2", {}, t("open_title")), h("p", {}, t("open_hint")))),
        list, zone,
        h("form", { class: "lt-stack", novalidate: true, onsubmit: (event) => { event.preventDefault(); start(); } },
            h("label", { for: typed.id }, t("folders")), typed, said, h("div", { class: "lt-row" }, button, h("span", { class: "lt-help" }, t("folders_hint")))));
}

const choice = (title, about, action) =>
    h("button", { type: "button", class: "lt-data-choice", onclick: action }, icon("folder"), h("span", {}, h("strong", {}, title), h("small", {}, about)));
