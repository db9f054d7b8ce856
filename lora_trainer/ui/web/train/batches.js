// "See the batches": the first batches as the model will see them, drawn by a process of the host, in a dialog.
import { app } from "../base/app.js";
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { get, post, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { note, report } from "../base/messages.js";
import { gallery } from "../base/pictures.js";
import { sleep } from "../base/timing.js";
import { t } from "./texts.js";
import { values } from "./values.js";

const PAUSE = 500; // milliseconds

// A button; the batches are those of what the form holds when it is pressed.
export function batchesButton() {
    const button = h("button", { type: "button", class: "lt-btn lt-btn-small lt-batches-button", onclick: () => busy(button, show) }, icon("search"), t("batches_see"));
    return button;
}

async function show() {
    const { id } = await post("batches", { values: values.send() });
    const body = h("div", { class: "lt-batches-body", role: "status" });
    let isOpen = true;
    const close = () => {
        isOpen = false;
        dialog.remove();
        post(`batches/${id}/stop`, {}).catch(report);
    };
    const shut = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => dialog.close() }, t("batches_close"));
    const dialog = h("dialog", { class: "lt-batches", "aria-label": t("batches_title"), onclose: close }, h("header", { class: "lt-row" }, h("h2", {}, t("batches_title")), shut), h("p", { class: "lt-subdued" }, t("batches_hint")), body);
    app.mount.querySelector(".lt-app").append(dialog);
    dialog.showModal();
    while (isOpen) {
        const found = await get(`batches/${id}`);
        if (found.state !== "running") {
            fill(body, found.state === "failed" ? note({ level: "error", message: found.message }) : found.batches.map((one) => batch(one, found.of)));
            return;
        }
        fill(body, found.total ? t("batches_waiting", { done: found.done, total: found.total }) : t("batches_begin"));
        await sleep(PAUSE);
    }
}

const batch = (one, of) => h("section", {}, h("h3", {}, t("batches_one", { x: one.number, of }), h("small", {}, ` ${one.width}×${one.height}`)),
    gallery(one.samples.map((sample) => ({ url: urlOf(sample.url), name: sample.image, caption: inWords(sample) }))),
    h("ul", {}, one.samples.map((sample) => h("li", {}, sample.is_reg && h("span", { class: "lt-chip" }, t("plan_is_reg")), " ", h("code", {}, `${sample.folder}/${sample.image}`), " ", sample.caption || t("batches_no_caption"), h("small", {}, ` · ${details(sample)}`)))));

const inWords = (sample) => `${sample.caption} · ${details(sample)}`;

function details(sample) {
    const said = [t("batches_cut", { size: sample.size.join("×"), resized: sample.resized.join("×"), left: sample.left, top: sample.top })];
    if (sample.flipped) said.push(t("batches_flipped"));
    if (sample.mask) said.push(t("batches_mask", { x: sample.mask }));
    said.push(t("batches_repeats", { x: sample.repeats }));
    return said.join(" · ");
}
