// kohya's folder form (folders named "10_sks frog" in one that holds them) taken apart into concepts: dropped, or named.
import { fill, h } from "../../base/elements.js";
import { get } from "../../base/host.js";
import { icon } from "../../base/icons.js";
import { redraw } from "../../base/place.js";
import { debounce } from "../../base/timing.js";
import { t } from "../texts.js";
import { transfer } from "../transfer.js";
import { values } from "../values.js";
import { add, fillOrAdd, scopeOf, scopes, took } from "./scope.js";

const NAMED = /^(\d+)_(\S+)(?:\s+(.+))?$/;
const REG = ["reg", "regs", "regularisation", "regularization"];
let told = null; // what was read the last time: {read: [texts], left: [names]}

// "10_sks frog" -> {num_repeats, identifier, class_name}, null for another name.
export function wordsOfFolder(name) {
    const parts = NAMED.exec(name);
    return parts && Number(parts[1]) > 0 ? { num_repeats: Number(parts[1]), identifier: parts[2], class_name: parts[3] || null } : null;
}
const wordsIn = (one) => [one.identifier, one.class_name].filter(Boolean).join(" ");
const said = (name, one, isReg) => t(isReg ? "kohya_one_reg" : "kohya_one", { name, x: one.num_repeats, words: wordsIn(one) });

// The dropped files by the named folders that they lie in; null when no more than one such folder itself was dropped.
export function partsOfDrop(files) {
    const groups = new Map(), rest = [];
    for (const one of files) {
        const path = one.name.split("/"), at = path.slice(0, -1).findIndex((part) => wordsOfFolder(part));
        const key = path.slice(0, at + 1).join("/");
        if (at < 0) rest.push(one);
        else if (groups.has(key)) groups.get(key).files.push({ ...one, name: path.slice(at).join("/") });
        else groups.set(key, { name: path[at], depth: at, isReg: path.slice(0, at).some((part) => REG.includes(part.toLowerCase())), files: [{ ...one, name: path.slice(at).join("/") }] });
    }
    const found = [...groups.values()];
    return found.length > 1 || found.some((one) => one.depth > 0) ? { groups: found, rest } : null;
}

// Makes concepts of them, the first of the one that they were chosen for where it has no pictures yet; the pictures travel one folder
// after the other.
export function takeDrop({ groups, rest }, chosen = null) {
    const parts = groups.map((one) => ({ ...one, words: wordsOfFolder(one.name) }));
    const mine = parts.filter((one) => !one.isReg).map((one, at) => ({ ...one, id: (at ? add(one.words) : fillOrAdd(one.words, chosen)).id }));
    told = { read: parts.map((one) => said(one.name, one.words, one.isReg)), left: rest.map((one) => one.name) };
    redraw();
    for (const { id, files } of mine) transfer.take({ files, unread: [] }, () => scopeOf(id)?.upload || "", (answer) => took(id, answer, files), id);
    for (const { words, files } of parts.filter((one) => one.isReg)) {
        const ids = scopesOfClass(wordsIn(words)).map((scope) => scope.id);
        transfer.take({ files, unread: [] }, () => "", (answer) => ids.forEach((id) => useReg(scopeOf(id), answer.folder, words.num_repeats)), ids[0]);
    }
}

// The concepts whose class these words are; else the first one without regularisation pictures.
function scopesOfClass(words) {
    const same = scopes().filter((scope) => (scope.get("class_name") || "").toLowerCase() === words.toLowerCase());
    return same.length ? same : scopes().filter((scope) => !scope.get("reg_dir")).slice(0, 1);
}
function useReg(scope, folder, repeats) {
    scope?.set("reg_dir", folder);
    scope?.set("reg_repeats", repeats);
}

// For a folder that was named: when it holds folders of that form, a press makes concepts of them. Returns {element, look(folder)}.
export function kohyaOffer(signal, scope) {
    const element = h("div", { hidden: true });
    let asked = 0;
    async function look(folder) {
        const question = ++asked, isParent = folder && !folder.images.length && folder.subfolders?.length;
        element.hidden = true;
        if (!isParent) return;
        const reg = scope.get("reg_dir"), query = new URLSearchParams({ folder: folder.folder, ...(reg && { reg }) });
        const answer = await get(`concepts?${query}`).catch(() => null);
        if (question !== asked || signal.aborted || !answer?.read.length) return;
        element.hidden = false;
        fill(element, h("div", { class: "lt-note lt-note-info" }, icon("info"), h("div", {}, h("span", {}, t("kohya_found", { x: answer.read.join(", ") })), " ",
            h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => takeFolder(scope, answer) }, t("kohya_take")))));
    }
    return { element, look };
}

function takeFolder(scope, { values: found, read, left }) {
    const { concepts, ...first } = found, fields = values.controls.get("concepts").fields.map((control) => control.name);
    for (const field of fields) if (field in first) scope.set(field, first[field]);
    for (const one of concepts) add(Object.fromEntries(Object.entries(one).filter(([, value]) => value !== null)));
    const regs = [first, ...concepts].map((one) => one.reg_dir).filter(Boolean);
    told = { read: read.map((name) => said(name, wordsOfFolder(name), regs.some((path) => path.endsWith(name)))), left };
    redraw();
}

// The same for the regularisation folder, which is one folder of that form each.
export function offerReg(signal, scope, field) {
    const name = scope.name("reg_dir"), offer = h("p", { class: "lt-help", hidden: true });
    field.element.append(offer);
    const look = debounce(500, async () => {
        const path = values.get(name);
        offer.hidden = true;
        const folder = path && !signal.aborted && (await get(`images?${new URLSearchParams({ folder: path })}`).catch(() => null));
        if (!folder || folder.images.length || values.get(name) !== path || signal.aborted) return;
        const inside = folder.subfolders.filter(wordsOfFolder), slash = folder.folder.includes("\\") ? "\\" : "/";
        offer.hidden = !inside.length;
        fill(offer, t("kohya_reg_found", { x: inside.join(", ") }), " ", h("button", { type: "button", class: "lt-link", onclick: () => {
            scope.set("reg_dir", null); // each goes to the concepts of its class
            for (const one of inside) {
                const words = wordsOfFolder(one);
                for (const mine of scopesOfClass(wordsIn(words))) useReg(mine, folder.folder + slash + one, words.num_repeats);
            }
        } }, t("kohya_reg_take")));
    });
    values.watch(signal, (changed) => changed === name && look());
    if (values.get(name)) look();
}

// What was read the last time, until it is put away.
export function kohyaNews() {
    if (!told) return null;
    const element = h("div", { class: "lt-note lt-note-info", role: "status" }, icon("info"), h("div", {},
        h("span", {}, t("kohya_read")), h("ul", {}, told.read.map((text) => h("li", {}, text))),
        told.left.length > 0 && h("p", {}, t("kohya_left", { x: told.left.slice(0, 5).join(", ") + (told.left.length > 5 ? ", …" : "") }))),
        h("button", { type: "button", class: "lt-btn lt-btn-small lt-btn-icon", "aria-label": t("close"), onclick: () => { told = null; element.remove(); } }, icon("close")));
    return element;
}
