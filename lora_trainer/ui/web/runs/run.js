// One run, live: state, numbers, loss chart, samples, files, log, how to repeat it. Reads the whole run once, then only
// what is new, so that a reload or a second window shows the same.
import { app, canGenerate } from "../base/app.js";
import { fill, h } from "../base/elements.js";
import { ApiError, get, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { poll } from "../base/poll.js";
import { copyButton, note, report, say } from "../base/messages.js";
import { formatBytes, formatDuration, formatNumber, formatShort } from "../base/numbers.js";
import { go } from "../base/place.js";
import { tryPrompt } from "../generate/prompt.js";
import { lossChart } from "./chart.js";
import { actions } from "./actions.js";
import { cardNote } from "./card.js";
import { fileList } from "./files.js";
import { gridCard } from "./grid.js";
import { inUse, labelOf } from "./in_use.js";
import { liveCard } from "./live.js";
import { recipeOf } from "./recipe.js";
import { sampleGallery } from "./samples.js";
import { doing, isOver, progressBar, secondsOf, stateText, statusLine } from "./standing.js";
import { tagSliders } from "./tag.js";
import { t } from "./texts.js";
import { worstPictures } from "./worst.js";
import { checkpointButton, sendButton } from "../webui.js";

export function runView(signal, id) {
    const body = h("div", { class: "lt-run-view" }, h("p", { class: "lt-loading", role: "status" }, t("loading")));
    let offset = 0, have = "", page = null; // `have`: which samples, files, warnings and log lines are here
    poll(signal, 1, async () => {
        try {
            if (!page) {
                const answer = await get(`runs/${encodeURIComponent(id)}`);
                offset = answer.offset;
                page = runPage(signal, answer.run, id);
                fill(body, page.element);
                return answer.run.active ? 1 : 4;
            }
            const answer = await get(`runs/${encodeURIComponent(id)}?after=${offset}&have=${have}`);
            offset = answer.offset;
            have = answer.have || "";
            page.update(answer.run, answer.events, answer.log);
            return answer.more ? 0.05 : answer.run.active ? 1 : 4;
        } catch (error) {
            if (!(error instanceof ApiError) || error.status !== 404) throw error;
            fill(body, h("div", { class: "lt-card lt-empty" }, h("strong", {}, t("run_gone")),
                h("button", { type: "button", class: "lt-btn", onclick: () => go("runs") }, t("back_to_runs"))));
            return 30;
        }
    });
    return body;
}

function runPage(signal, detail, id) {
    let run = detail;
    const page = { run: () => run, waitsForFile: false };
    const measured = detail.curve?.validation;
    const curve = { validation: { steps: [...(measured?.steps || [])], loss: [...(measured?.loss || [])] }, steps: [...(detail.curve?.steps || [])], loss: [...(detail.curve?.loss || [])], lr: [...(detail.curve?.lr || [])], total: detail.total_steps, isOver: isOver(detail) };
    const chart = lossChart(signal);
    const parts = Object.fromEntries(["head", "card", "standing", "numbers", "notes", "lora"].map((name) => [name, h("div", { class: `lt-run-${name}` })]));
    const samples = sampleGallery(() => t(isOver(run) ? "samples_never" : "samples_none"));
    const worst = worstPictures(signal, id), growing = liveCard(id);
    const live = h("p", { class: "lt-offscreen", "aria-live": "polite" });
    const used = inUse(signal, id), saved = fileList(signal, id, used, detail.trains === "model");
    const grid = gridCard(signal, id, detail, used);
    const log = h("pre", { class: "lt-log", tabindex: "0", "aria-label": t("log") });
    const element = h("div", { class: "lt-run-page" },
        h("button", { type: "button", class: "lt-link lt-back", onclick: () => go("runs") }, icon("back"), t("back_to_runs")),
        h("section", { class: "lt-card" }, parts.head, parts.notes, parts.card, parts.standing, parts.numbers, live),
        parts.lora, growing.element,
        h("div", { class: "lt-run-columns" },
            h("section", { class: "lt-card lt-run-chart" }, h("h2", {}, t("loss")), chart.element),
            h("section", { class: "lt-card lt-run-samples" }, samples.element)),
        worst.element,
        h("section", { class: "lt-card" }, h("h2", {}, t("files")), saved.element),
        grid.element,
        h("section", { class: "lt-card" }, h("h2", {}, t("log")), log),
        h("section", { class: "lt-card" }, h("h2", {}, t("repeat")), h("p", { class: "lt-subdued" }, t("repeat_where")), recipeOf(detail)));

    // Draws a part only when what it shows has changed: nothing jumps and the keyboard's focus stays.
    const shown = {};
    function isNew(name, value) {
        const text = JSON.stringify(value), before = shown[name];
        shown[name] = text;
        return before !== text;
    }
    const part = (name, value, draw) => isNew(name, value) && fill(parts[name], draw());

    function show(logText) {
        worst.update(run);
        part("head", [run.name, stateText(run), run.active, run.card?.paused, run.device, run.resumable, run.lora], () => actions(run, id, detail, page));
        part("card", [run.card, run.device], () => cardNote(run, id));
        part("notes", [run.state, run.message, run.advice, run.warnings, Math.floor(((app.state.time || 0) - (run.last_sign_of_life || 0)) / 30)], () => notes(run));
        part("standing", [run.step, run.total_steps, doing(run), run.phase, run.state, run.queue_position, Math.round(run.seconds_left || 0)], () => standing(run));
        part("numbers", [run.epoch, run.smoothed_loss, run.lrs, run.lr, run.samples_per_second, run.peak_memory, run.device, run.seconds_left, run.ended], () => numbers(run, detail.forecast || {}));
        part("lora", [run.lora, run.state, run.files, used.now], () => lora(run, detail.config, used.now));
        if (isNew("live", [run.live, run.state, Boolean(run.step), run.card?.is_free])) growing.show(run);
        if (isNew("samples", [run.samples, isOver(run)])) samples.show(run.samples);
        if (isNew("files", [run.files, run.active])) saved.show(run);
        if (isNew("ended", [run.active, run.lora])) used.look().catch(report);
        grid.refresh(run);
        const tenth = run.total_steps ? Math.floor((10 * (run.step || 0)) / run.total_steps) * 10 : 0;
        const how = !run.active ? "" : run.step ? ` ${tenth} %` : `, ${run.phase?.name || doing(run)}`;
        const said = `${run.name}: ${stateText(run)}${how}`;
        if (live.textContent !== said) live.textContent = said;
        if (logText === null) return; // as it was
        const text = (Array.isArray(logText) ? logText.join("\n") : logText) || t("log_none");
        if (log.textContent !== text) {
            const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 20;
            log.textContent = text;
            if (atEnd) log.scrollTop = log.scrollHeight;
        }
    }

    function update(next, events, logText) {
        const wasActive = run.active;
        run = { ...run, ...next };
        for (const event of events || []) {
            if (event.type === "resumed") backTo(curve, event.step);
            if (event.type === "validation") measuredAt(curve.validation, event);
            if (event.type === "saved" && page.waitsForFile && !event.final) {
                page.waitsForFile = false;
                say(t("saved_now", { x: labelOf({ step: event.step, name: event.path }, run) }));
            }
            if (event.type !== "step") continue;
            const at = curve.steps.length;
            if (at && event.step <= curve.steps[at - 1]) continue;
            curve.steps.push(event.step);
            curve.loss.push(event.loss ?? NaN);
            curve.lr.push(typeof event.lr === "object" ? Object.values(event.lr || {})[0] : event.lr);
        }
        Object.assign(curve, { total: run.total_steps, isOver: isOver(run) });
        if ((events || []).some((event) => ["step", "resumed", "validation"].includes(event.type)) || wasActive !== run.active) chart.update(curve);
        show(logText);
    }
    used.watch(signal, () => show(null));
    chart.update(curve);
    show(detail.log);
    setTimeout(() => (log.scrollTop = log.scrollHeight));
    return { element, update };
}

function measuredAt(points, { step, loss }) {
    if (points.steps.length && step <= points.steps[points.steps.length - 1]) return;
    points.steps.push(step);
    points.loss.push(loss ?? NaN);
}

// What a resumed run does again is drawn again.
function backTo(curve, step) {
    const kept = curve.steps.filter((one) => one <= step).length;
    for (const points of [curve.steps, curve.loss, curve.lr]) points.length = kept;
    const measured = curve.validation.steps.filter((one) => one <= step).length;
    for (const points of [curve.validation.steps, curve.validation.loss]) points.length = measured;
}

function notes(run) {
    const found = (run.warnings || []).map((message) => ({ level: "warning", message }));
    if (run.message) found.unshift({ level: run.state === "failed" ? "error" : "info", message: run.message, advice: run.advice });
    const silence = (app.state.time || 0) - (run.last_sign_of_life || Infinity);
    if (run.active && silence > 90) found.push({ level: "warning", message: t("silent", { x: formatDuration(silence) }) });
    return found.map(note);
}

function standing(run) {
    const steps = run.step && run.total_steps ? h("span", {}, t("step"), " ", h("strong", {}, formatNumber(run.step)), ` / ${formatNumber(run.total_steps)}`) : "";
    const right = run.active && Number.isFinite(run.seconds_left) ? `${t("time_left")} ${formatDuration(run.seconds_left)}` : run.state === "queued" ? statusLine(run) : "";
    return [progressBar(run), h("div", { class: "lt-run-under" }, steps, h("span", { class: "lt-run-doing" }, doing(run).replace(/^./, (first) => first.toUpperCase())), h("span", {}, right))];
}

// `foretold` is what was measured before the start.
function numbers(run, foretold = {}) {
    const rates = Object.entries(run.lrs || {});
    const rate = rates.length > 1 && new Set(rates.map(([, value]) => value)).size > 1
        ? h("span", { class: "lt-rates" }, rates.map(([name, value]) => h("span", {}, `${formatShort(value)} `, h("small", {}, name.replaceAll("_", " "))))) : formatShort(run.lr);
    const cells = [
        ["epoch", run.epoch ? `${run.epoch}${run.epochs ? ` / ${run.epochs}` : ""}` : "–"],
        ["loss", formatShort(run.smoothed_loss ?? run.loss)],
        ["learning_rate", rate],
        ["speed", Number.isFinite(run.samples_per_second) ? t("per_second", { x: formatShort(run.samples_per_second) }) : "–"],
        run.ended && run.started ? ["time_taken", formatDuration(secondsOf(run)), Number.isFinite(foretold.seconds) && formatDuration(foretold.seconds)] : ["time_left", formatDuration(run.seconds_left ?? NaN)],
        ["memory", run.peak_memory ? formatBytes(run.peak_memory) : "–", Number.isFinite(foretold.needed) && formatBytes(foretold.needed)],
        ["device", run.device || "–"],
    ];
    return h("dl", { class: "lt-numbers" }, cells.map(([name, value, before]) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value, before && h("small", {}, ` ${t("foretold", { x: before })}`)))));
}

function lora(run, config, used) {
    if (!run.lora || !["finished", "stopped"].includes(run.state)) return [];
    const files = run.files || [];
    const shown = files.find((file) => file.name === used?.file) || files.find((file) => file.final) || files.at(-1);
    const line = h("div", { class: "lt-prompt-line" }), buttons = h("span", { class: "lt-row" });
    const show = (prompt) => {
        fill(line, h("code", {}, prompt), copyButton(prompt));
        fill(buttons, canGenerate() && h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => tryPrompt(prompt, run.lora.generate) }, t("try_it")),
            run.lora.is_model && checkpointButton(run.lora.path, "lt-btn-primary"), sendButton(prompt, "lt-btn-primary"));
    };
    show(run.lora.prompt);
    return h("section", { class: "lt-card lt-use" }, h("h2", {}, t("use_it")),
        line, used?.file && shown?.name === used.file && !shown.final && h("p", { class: "lt-use-which" }, t("use_which", { x: labelOf(shown, run) })),
        run.lora.is_model ? h("p", { class: "lt-wrap" }, t("model_at", { x: run.lora.name }), " ", h("code", {}, run.lora.path)) : tagSliders(run.lora.name, run.lora.prompt, config, show),
        h("div", { class: "lt-row" }, buttons,
            shown && h("a", { class: "lt-btn", href: urlOf(shown.url), download: shown.name }, icon("download"), `${t("download")} ${shown.name} (${formatBytes(shown.bytes)})`)));
}
