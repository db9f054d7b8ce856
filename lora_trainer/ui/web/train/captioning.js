// "Caption these pictures": a small form below the images, in which a model writes captions for them; progress, what came
// of it, and Undo. The tools are those of the Tools view that write captions.
import { busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { get, post } from "../base/host.js";
import { icon } from "../base/icons.js";
import { recall, remember } from "../base/memory.js";
import { refuse, report, say } from "../base/messages.js";
import { poll } from "../base/poll.js";
import { language } from "../base/texts.js";
import { labeled, plainControl, select } from "../tools/fields.js";
import { keep, keptForm } from "../tools/kept.js";
import { lackingPackage } from "../tools/lacking.js";
import { toolResult } from "../tools/result.js";
import { packageOffer } from "./packages.js";
import { t } from "./texts.js";
import { values } from "./values.js";

const OURS = ["train_data_dir", "caption_extension"]; // what the form of the training says already
const ENDINGS = { txt: ".txt", caption: ".caption" };

let chosen = recall("captioner", ""); // the tool that was used last
const jobs = new Map(); // id of a concept -> the last answer about its job

// `scope` is the concept whose pictures they are. Returns {button, element, show(number of pictures)}.
export function captionPanel(signal, scope) {
    let tools = null, wrong = {}, lacking = null, offer = null;
    const button = h("button", { type: "button", class: "lt-btn lt-btn-small lt-caption-button", hidden: true, "aria-expanded": "false", onclick: () => busy(button, toggle) }, icon("brush"), t("caption_these"));
    const form = h("div", { class: "lt-stack" });
    const result = h("div", { class: "lt-stack", "aria-live": "polite" });
    const start = h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => busy(start, run) }, t("caption_start"));
    const cancel = h("button", { type: "button", class: "lt-btn lt-btn-danger", onclick: () => busy(cancel, async () => told(await post(`tools/${job().id}/stop`))) }, t("cancel"));
    const element = h("section", { class: "lt-captioning lt-stack", hidden: true, "aria-label": t("caption_these") });

    const job = () => jobs.get(scope.id);
    const isAtWork = () => job()?.state === "running";
    const tool = () => tools.find((one) => one.name === chosen) || tools[0];
    const ending = () => ENDINGS[scope.get("caption_source")] || (scope.get("caption_source") === "other" && scope.get("caption_extension")) || ".txt";

    async function toggle() {
        const page = element.hidden && await get(`tools?folder=${encodeURIComponent(scope.get("image_dir") || "")}`);
        tools ||= (page.spec[language] || page.spec.en).filter((one) => one.writes === "captions");
        if (page && !isAtWork()) await adopt(page);
        if (!offer) {
            offer = packageOffer(signal, () => choose().catch(report));
            fill(element, h("p", { class: "lt-subdued" }, t("caption_hint")), form, offer.element, h("div", { class: "lt-row" }, start, cancel), result);
        }
        element.hidden = !element.hidden;
        button.setAttribute("aria-expanded", String(!element.hidden));
        if (element.hidden) return;
        await choose();
        draw();
    }

    // A job for these pictures that another page, or this one before it was loaded anew, has started.
    async function adopt(page) {
        const found = page.active ? await get(`tools/${page.active}`) : null, folder = scope.get("image_dir");
        const last = found?.folder === folder ? found : page.captioned ? await get(`tools/${page.captioned}`) : null;
        if (!last || signal.aborted) return;
        jobs.set(scope.id, last);
        if (isAtWork()) follow();
    }

    async function choose() {
        const one = tool(), found = await lackingPackage(one);
        if (signal.aborted || one !== tool()) return;
        lacking = found;
        offer.show(lacking);
        drawForm();
        draw();
    }

    const nameOf = (one) => `captions ${one.name}`; // apart from that of the Tools view
    const formOf = (one) => keptForm(nameOf(one), { values: Object.fromEntries(one.fields.filter((field) => !OURS.includes(field.name)).map((field) => [field.name, field.value])) });

    function drawForm() {
        const one = tool(), fields = one.fields.filter((field) => !OURS.includes(field.name));
        const { values: given } = formOf(one);
        wrong = {};
        const made = (more) => fields.filter((field) => field.more === more).map((field) => {
            const id = `lt-caption-${scope.index}-${field.name}`;
            const control = plainControl(id, field, given[field.name], (value) => { given[field.name] = value; keep(nameOf(one)); wrong[field.name](""); });
            const whole = labeled(id, field, { element: control });
            wrong[field.name] = whole.say;
            return whole.element;
        });
        const which = select(`lt-caption-${scope.index}-tool`, tools.map((each) => ({ value: each.name, label: each.title })), one.name, (name) => { chosen = name; remember("captioner", name); choose().catch(report); });
        fill(form, labeled(which.id, { name: "tool", label: t("caption_by"), help: one.help, required: true }, { element: which }).element,
            h("div", { class: "lt-grid" }, made(false)),
            h("details", { class: "lt-fold" }, h("summary", {}, t("caption_more")), h("div", { class: "lt-grid" }, made(true))));
    }

    async function run() {
        for (const sayWrong of Object.values(wrong)) sayWrong("");
        try {
            const body = { tool: tool().name, values: { ...formOf(tool()).values, train_data_dir: scope.get("image_dir"), caption_extension: ending() } };
            told(await post("tools", body));
            follow();
        } catch (error) {
            const problems = error.problems || [];
            for (const problem of problems) wrong[problem.field]?.([problem.message, problem.advice].filter(Boolean).join(" "));
            if (!problems.length || problems.some((problem) => !wrong[problem.field])) refuse(error);
        }
    }

    function follow() {
        const halt = poll(signal, 0.5, async () => {
            if (isAtWork()) told(await get(`tools/${job().id}`));
            return isAtWork() ? 0.5 : halt() && 0;
        });
    }

    // Of an upload that a run trains from a copy was captioned: the form goes on with that.
    function told(answer) {
        const before = job();
        jobs.set(scope.id, answer);
        if (answer.upload && answer.folder !== scope.get("image_dir") && before?.id !== answer.id) {
            scope.upload = answer.upload;
            scope.set("image_dir", answer.folder);
        }
        if (answer.state !== "running" && before?.state === "running") ended(answer);
        draw();
    }

    function ended(answer) {
        if (answer.can_undo && scope.get("caption_source") === "words") scope.set("caption_source", ending() === ".txt" ? "txt" : "caption");
        values.announce(scope.name("image_dir"));
    }

    async function undo() {
        const answer = await post(`tools/${job().id}/undo`);
        jobs.set(scope.id, answer.job);
        say(t("caption_undone", { x: answer.restored + answer.removed }));
        if (answer.kept.length) say(t("caption_kept", { x: answer.kept.join(", ") }), "error");
        values.announce(scope.name("image_dir"));
        draw();
    }

    function draw() {
        start.disabled = isAtWork() || Boolean(lacking);
        cancel.hidden = !isAtWork();
        const text = JSON.stringify([job(), language]);
        if (result.dataset.text === text) return; // the keyboard's focus stays
        result.dataset.text = text;
        fill(result, job() ? toolResult(job(), tools?.find((one) => one.name === job().tool)?.title || job().tool, undo) : null);
    }

    if (isAtWork()) follow();
    return { button, element, show: (pictures) => { button.hidden = !pictures; if (!pictures) element.hidden = true; } };
}
