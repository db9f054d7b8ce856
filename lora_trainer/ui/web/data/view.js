// The data set view: pictures with their captions, looked at, found and changed. open.js chooses which data set; page.js shows it.
import { fill, h } from "../base/elements.js";
import { getPatiently } from "../base/host.js";
import { note } from "../base/messages.js";
import { lastOpened, openingView, rememberOpened } from "./open.js";
import { dataPage } from "./page.js";
import { t } from "./texts.js";

export default { name: "data", title: () => t("data"), draw };

function draw(signal, id) {
    const wanted = id || lastOpened();
    if (!wanted) return h("div", { class: "lt-data" }, openingView(signal));
    const element = h("div", { class: "lt-data" }, h("p", { class: "lt-loading", role: "status" }, t("loading")));
    getPatiently(`datasets/${encodeURIComponent(wanted)}`).then(
        (opened) => {
            if (signal.aborted) return;
            rememberOpened(opened.id);
            fill(element, dataPage(signal, opened));
        },
        (error) => {
            if (signal.aborted) return;
            rememberOpened("");
            fill(element, note({ level: "warning", message: error.message }), openingView(signal));
        });
    return element;
}
