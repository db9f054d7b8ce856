// The pictures that a run learned worst, compared with the others at the same noise levels: where a caption is wrong, it stands out.
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { get, post, urlOf } from "../base/host.js";
import { remember } from "../base/memory.js";
import { go } from "../base/place.js";
import { pictureButton, showPicture } from "../base/pictures.js";
import { oneLine } from "../data/words.js";
import { t } from "./texts.js";

const SHOWN = 6, EVERY = 60_000; // pictures at first; milliseconds between two looks at a run that trains

// Returns {element, update(run)}.
export function worstPictures(signal, id) {
    let state = "", asked = 0, isWhole = false, pictures = [];
    const list = h("ul", { class: "lt-worst" }), more = h("button", { type: "button", class: "lt-link", hidden: true, onclick: () => { isWhole = true; draw(); } }, t("worst_more"));
    const open = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(open, showAll) }, t("worst_open"));
    const element = h("section", { class: "lt-card", hidden: true }, h("h2", {}, t("worst")), h("p", { class: "lt-subdued" }, t("worst_hint")), list, h("div", { class: "lt-row" }, open, more));

    async function showAll() {
        const opened = await post("datasets", { folders: [...new Set(pictures.map((one) => one.folder))] });
        remember("data.sort", { sort: "loss", descending: true });
        go("data", opened.id);
    }

    function draw() {
        const shown = pictures.slice(0, isWhole ? pictures.length : SHOWN);
        const views = shown.map((one) => ({ url: urlOf(one.thumb), thumb: urlOf(one.thumb), name: one.name, caption: one.caption }));
        element.hidden = pictures.length < 2;
        more.hidden = shown.length === pictures.length;
        fill(list, shown.map((one, index) => h("li", { class: "lt-worst-one" }, pictureButton(views[index], () => showPicture(views, index)),
            h("div", {}, h("strong", {}, t("worst_times", { x: one.relative.toFixed(2) })), " ", h("code", {}, one.name), h("p", { class: "lt-subdued", title: one.caption }, oneLine(one.caption) || t("worst_none"))))));
    }

    return {
        element,
        update(run) {
            const now = Date.now();
            if (run.state === state && !(run.active && run.step && now - asked > EVERY)) return;
            state = run.state;
            asked = now;
            get(`runs/${encodeURIComponent(id)}/losses`).then((answer) => {
                if (signal.aborted) return;
                pictures = answer.pictures;
                draw();
            }, () => {}); // asked again in its time
        },
    };
}
