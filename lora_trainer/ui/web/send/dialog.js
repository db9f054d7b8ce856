// The question that pictures of the Web UI, or of the Generate view, bring along: which of them, with which captions, and where they belong.
import { app } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { post } from "../base/host.js";
import { note, refuse, report, say } from "../base/messages.js";
import { tabOf } from "../webui.js";
import { places } from "./places.js";
import { staging } from "./staging.js";
import { t } from "./texts.js";

// Opens our tab with the question; who says no is back at the gallery `from` (a tab of the Web UI, where there is one of that name).
export function sendPictures(from, pictures) {
    tabOf("lora_trainer", "LoRA Trainer")?.click();
    if (!pictures.length) return void say(t("nothing_there"), "error");
    const chosen = pictures.filter((one) => one.isChosen && !one.isGrid);
    return question(from, chosen.length ? chosen : pictures, pictures);
}

function question(from, first, all) {
    const stage = staging(), rows = [];
    let others = all.filter((one) => !first.includes(one)), isAdded = false, isClosed = false;
    const told = h("p", { class: "lt-subdued", role: "status" });
    const refused = h("div", {});
    const list = h("ul", { class: "lt-sent" });
    const more = h("button", { type: "button", class: "lt-link", hidden: true, onclick: () => busy(more, () => take(others)) });
    const offered = places();
    const into = h("select", { class: "lt-input", id: "lt-sent-into", onchange: show }, offered.map((one, index) => h("option", { value: String(index) }, one.label)));
    const hint = h("p", { class: "lt-subdued" });
    const go = h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => busy(go, put) });
    const close = h("button", { type: "button", class: "lt-btn", onclick: () => dialog.close() }, t("cancel"));
    const dialog = h("dialog", { class: "lt-ask lt-sent-dialog", "aria-label": t("send_title"), onclose: () => {
        isClosed = true;
        dialog.remove();
        if (isAdded) return;
        stage.drop().catch(report);
        tabOf(from, from)?.click();
    } }, h("h2", {}, t("send_title")), told, list, more, refused, h("p", { class: "lt-subdued" }, t("captions_hint")),
        h("div", { class: "lt-stack" }, h("label", { for: into.id }, t("into")), into, hint), h("div", { class: "lt-row lt-end" }, close, go));

    const wanted = () => rows.filter((row) => row.box.checked);
    function show() {
        const count = wanted().length;
        hint.textContent = offered[into.value].hint;
        go.textContent = t("add_pictures", { x: count });
        go.disabled = !count || told.textContent !== "";
        more.hidden = !others.length || told.textContent !== "";
        more.textContent = t("take_others", { x: others.length });
        fill(refused, stage.refused.length > 0 && note({ level: "warning", message: `${t("not_taken")} ${stage.refused.map(({ name, message }) => `${name} (${message})`).join("; ")}` }));
    }

    async function take(pictures) {
        others = others.filter((one) => !pictures.includes(one));
        try {
            const taken = await stage.take(pictures, (done) => {
                told.textContent = t("taking", { x: done + 1, all: pictures.length });
                show();
            });
            if (isClosed) return void (await stage.drop().catch(() => {})); // what came after it was given up
            for (const one of taken.filter(({ name }) => !rows.some((row) => row.name === name))) {
                rows.push(rowOf(one, show));
                list.append(rows.at(-1).element); // those above may be written in
            }
            told.textContent = "";
        } catch (error) {
            told.textContent = "";
            refuse(error);
        }
        if (!rows.length) told.textContent = t("nothing_taken");
        show();
    }

    async function put() {
        const captions = Object.fromEntries(wanted().map((row) => [row.name, row.area.value.trim()]));
        const { folder, extension, took } = offered[into.value];
        const answer = await post(stage.url("join"), { captions, extension, ...(folder ? { folder } : {}) });
        isAdded = true;
        dialog.close();
        await took(answer);
        say(t("added", { x: Object.keys(captions).length }));
        for (const one of answer.noted) say(`${one.name}: ${one.message}`);
    }

    app.mount.querySelector(".lt-app").append(dialog);
    show();
    dialog.showModal();
    return take(first);
}

// One picture: {name, box, area, element}. A grid is there to be seen, not chosen.
function rowOf({ name, caption, thumb, isGrid }, changed) {
    const box = h("input", { type: "checkbox", checked: !isGrid, "aria-label": name, onchange: changed });
    const area = h("textarea", { class: "lt-input", rows: "3", value: caption, "aria-label": t("caption_of", { x: name }), placeholder: caption ? null : t("no_prompt") });
    const element = h("li", {}, h("label", {}, box, h("img", { src: thumb, alt: name, loading: "lazy" })), h("div", { class: "lt-stack" }, area, isGrid && h("p", { class: "lt-subdued" }, t("is_grid"))));
    return { name, box, area, element };
}
