// What can be done with a run: the buttons at the head of its page.
import { ask, busy, tell } from "../base/dialogs.js";
import { h } from "../base/elements.js";
import { get, post } from "../base/host.js";
import { icon } from "../base/icons.js";
import { note, say } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { sentence } from "../base/problems.js";
import { go } from "../base/place.js";
import { values } from "../train/values.js";
import { badge, isOnCpu, isOver } from "./standing.js";
import { t } from "./texts.js";

export const button = (text, action, style = "", drawing = null) =>
    h("button", { type: "button", class: `lt-btn ${style}`, onclick: (event) => busy(event.currentTarget, action) }, drawing && icon(drawing), text);

export const actionOf = (id) => (action, body) => post(`runs/${encodeURIComponent(id)}/${action}`, body);

// Without prompts there is nothing to draw. They lie in the run's own file, or its configuration names another.
const hasPrompts = ({ prompts, config }) => Boolean(prompts?.trim()) || /^\s*sample_prompts\s*=\s*[^\s#]/m.test(config || "");

// When what is asked for between two steps will be done. One that has left the card can save there, but draws no samples.
const savedWhen = (run) => (!run.step ? "save_asked_first" : !run.card?.is_asked ? "save_asked" : run.card.is_free ? "save_asked_away" : "save_asked_later");
const drawnWhen = (run) => (!run.step ? "sample_asked_first" : run.card?.is_asked ? "sample_asked_later" : "sample_asked");

// `page.run()` is the run as it is when a button is pressed; `page.waitsForFile` is set while a person waits for one.
export function actions(run, id, detail, page) {
    const send = actionOf(id), buttons = [];
    if (run.state === "running") {
        buttons.push(run.card?.paused
            ? button(t("go_on"), () => send("pause", { paused: false }), "lt-btn-primary")
            : button(t("pause"), async () => { await send("pause", { paused: true }); say(t(isOnCpu(run) ? "pause_asked_cpu" : "pause_asked")); }));
        buttons.push(button(t("save_now"), async () => { await send("save"); page.waitsForFile = true; say(t(savedWhen(page.run()))); }));
        if (hasPrompts(detail)) buttons.push(button(t("sample_now"), async () => { await send("sample"); say(t(drawnWhen(page.run()))); }));
    }
    if (["running", "queued"].includes(run.state)) {
        const question = run.state === "queued" && !run.resumable ? "cancel_ask" : "stop_ask";
        buttons.push(button(t("stop"), async () => (await ask(t(question), t("stop"))) && send("stop"), "lt-btn-danger"));
    }
    if (run.state === "stopping") buttons.push(button(t("end_now"), async () => (await ask(t("end_now_ask"), t("end_now"))) && send("stop", { force: true }), "lt-btn-danger"));
    if (run.resumable && isOver(run)) buttons.push(run.state === "finished"
        ? button(t("further"), () => trainFurther(run, id))
        : button(t("resume_at", { x: formatNumber(run.resumable.step) }), () => resume(run, id), "lt-btn-primary"));
    if (detail.values) buttons.push(button(t("use_again"), () => {
        values.take(detail.values);
        say(t("settings_taken"));
        go("train");
    }, "", "reuse"));
    if (!run.active) buttons.push(button(t("delete_run"), async () => {
        if (!(await ask(t("delete_ask"), t("delete_run")))) return;
        await send("delete");
        say(t("deleted"));
        go("runs");
    }));
    return [h("div", { class: "lt-run-title" }, h("h1", {}, run.name), badge(run)), h("div", { class: "lt-row" }, buttons)];
}

// Goes on from the last state. What has changed since is told before; what cannot be gone on from, too.
// `isTold`: it was said already that the file in use is replaced.
export async function resume(run, id, body = {}, isTold = false) {
    const path = `runs/${encodeURIComponent(id)}/resume`;
    const steps = body.steps ? `?steps=${body.steps}` : "";
    const { problems, replaces } = await get(path + steps);
    if (problems.some((problem) => problem.level === "error")) return tell(problems, t("resume_cannot"));
    const isNews = replaces && !isTold;
    const changed = problems.filter((problem) => problem.level !== "info"), known = problems.filter((problem) => problem.level === "info");
    const question = [changed.length > 0 && h("p", {}, t("resume_changed")), ...changed.map(note), ...known.map(note), isNews && replaced(replaces)];
    const isOpen = changed.length || isNews;
    if (isOpen && !(await ask(question, t(changed.length ? "resume_anyway" : "resume"), { isHarmless: true }))) return;
    await post(path, body);
    say([t("resumed"), ...known.map((problem) => sentence(problem.message))].join(" "));
}

const replaced = ({ file, name }) => h("p", {}, t("resume_replaces", { x: file, name }));

async function trainFurther(run, id) {
    const { used } = await get(`runs/${encodeURIComponent(id)}/use`);
    const steps = h("input", { type: "number", min: 1, max: 999_999_999, step: 1, required: true, oninput: () => steps.setCustomValidity(""), oninvalid: () => steps.setCustomValidity(t("further_none")), value: Math.max(1, Math.round((run.total_steps || 1000) / 4)), "aria-label": t("further_steps") });
    const question = [h("p", {}, t("further_ask")), used.chosen && replaced(used), h("label", { class: "lt-row" }, t("further_steps"), steps)];
    if (!(await ask(question, t("further"), { isHarmless: true }))) return;
    await resume(run, id, { steps: Number(steps.value) }, true);
}
