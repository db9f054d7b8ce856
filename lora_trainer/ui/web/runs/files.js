// The saved files of a run: which of them is in use, putting another one in use, fetching them.
import { fill, h, keepFocus } from "../base/elements.js";
import { urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { note, say } from "../base/messages.js";
import { formatBytes, formatNumber } from "../base/numbers.js";
import { refreshListsOf } from "../webui.js";
import { actionOf, button } from "./actions.js";
import { labelOf } from "./in_use.js";
import { isOver } from "./standing.js";
import { t } from "./texts.js";

// {element, show(run)}; `used` is what in_use.js tells of the run `id`, which trains a whole model or not.
export function fileList(signal, id, used, isModel) {
    const element = h("div");
    let run = null;
    used.watch(signal, () => run && keepFocus(element, draw));

    // Under its own name, beside what is in use.
    async function putBeside(file) {
        const { lora } = await actionOf(id)("use", { file: file.name, overwrite: false });
        refreshListsOf(lora);
        say(t("used_file", { x: lora.name }));
    }

    function row(file) {
        const isUsed = used.now?.file === file.name;
        return h("li", { class: isUsed ? "lt-file-used" : null },
            h("code", {}, file.name),
            file.final && h("span", { class: "lt-badge lt-badge-finished" }, t(run.state === "stopped" ? "final_stopped" : "final")),
            isUsed && h("span", { class: "lt-badge lt-badge-running", title: t(isModel ? "model_in_use_as" : "in_use_as", { x: used.now.name }) }, t("in_use")),
            h("span", { class: "lt-subdued" }, [file.step && t("samples_at", { x: formatNumber(file.step) }), formatBytes(file.bytes)].filter(Boolean).join(" · ")),
            h("span", { class: "lt-row lt-end" },
                !isUsed && button(t("use_file"), () => used.put(file.name, labelOf(file, run)), "lt-btn-small"),
                !file.final && button(t("use_beside"), () => putBeside(file), "lt-btn-small"),
                h("a", { class: "lt-btn lt-btn-small", href: urlOf(file.url), download: file.name, "aria-label": `${t("download")} ${file.name}` }, icon("download"))));
    }

    // What lies in the host's folder, where that is none of the files listed.
    function said() {
        const now = used.now;
        if (!now?.name) return null;
        if (!now.there) return note({ level: "info", message: t("in_use_gone", { x: now.name }) });
        if (!now.file) return note({ level: "info", message: t("in_use_other", { x: now.name }) });
        return h("p", { class: "lt-subdued" }, t(isModel ? "model_in_use_is" : "in_use_is", { x: now.name }), run.active && ` ${t("in_use_until")}`);
    }

    function draw() {
        if (!run.files?.length) return fill(element, h("p", { class: "lt-subdued" }, t(isOver(run) ? "files_never" : "files_none")));
        return fill(element, said(), h("ul", { class: "lt-files" }, [...run.files].reverse().map(row)));
    }
    return { element, show(next) { run = next; draw(); } };
}
