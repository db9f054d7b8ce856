// Beside the form: what would be trained, what is wrong, and the button. The host checks while one types.
import { activeRun, app, stateNews } from "../base/app.js";
import { ask } from "../base/dialogs.js";
import { fill, h, set } from "../base/elements.js";
import { folderName } from "../base/folders.js";
import { ApiError, post } from "../base/host.js";
import { icon } from "../base/icons.js";
import { debounce } from "../base/timing.js";
import { note, refuse, retract } from "../base/messages.js";
import { told } from "../base/problems.js";
import { formatBytes, formatNumber } from "../base/numbers.js";
import { go } from "../base/place.js";
import { isSeen } from "../base/poll.js";
import { recipeOf } from "../runs/recipe.js";
import { labelOf } from "./concepts/scope.js";
import { batchesButton } from "./batches.js";
import { F } from "./fields.js";
import { findingsView } from "./findings.js";
import { forecastPanel } from "./forecast/panel.js";
import { packageOffer } from "./packages.js";
import { t } from "./texts.js";
import { transfer } from "./transfer.js";
import { values } from "./values.js";
import { variantsPanel } from "./variants.js";

// fields: name -> field of the form; reveal(name) shows a field.
// checked(answer) hears of each of the host's answers.
export function planView({ signal, fields, reveal, checked }) {
    let result = null, question = 0, isChecking = false, isStarting = false, hasTried = false;

    const body = h("div", { class: "lt-plan-body" });
    const reasons = h("ul", { class: "lt-reasons", id: "lt-reasons", role: "status" });
    const button = h("button", { type: "submit", class: "lt-btn lt-btn-primary lt-btn-train", "aria-describedby": "lt-reasons", title: t("shortcut") });
    const see = batchesButton();
    const offer = packageOffer(signal, () => check()), findings = findingsView(), needs = forecastPanel(signal, () => check());
    const recipe = h("details", { class: "lt-fold" }, h("summary", {}, t("show_toml")), h("p", { class: "lt-subdued" }, t("show_toml_hint")), h("div"));
    const element = h("aside", { class: "lt-side", "aria-label": t("plan") },
        h("section", { class: "lt-card lt-plan" }, h("h2", {}, t("plan")), body, findings.element, needs.element, see, offer.element, recipe),
        h("div", { class: "lt-train-bar" }, button, reasons), h("section", { class: "lt-card" }, variantsPanel(signal).element));

    const isEmpty = (name) => !values.get(name);
    // What is missing is asked for in words of its own and shown as an error only after a try to start.
    function missing() {
        const found = [];
        if (transfer.isBusy()) found.push(["why_uploading", F.images]);
        else if (isEmpty(F.images) && !values.get("is_off")) found.push(["why_images", F.images]);
        if (isEmpty(F.name)) found.push(["why_name", F.name]);
        if (isEmpty(F.model)) found.push(["why_model", F.model]);
        return found;
    }
    const errors = () => (result?.problems || []).filter((problem) => (problem.level || "error") === "error" && !(isAsked(problem) && isEmpty(problem.field)));
    const isAsked = (problem) => [F.images, F.name, F.model].includes(problem.field);

    const check = async () => {
        if (signal.aborted) return;
        const mine = ++question, began = Date.now();
        isChecking = true;
        show();
        try {
            const answer = await post("check", { values: values.send(), overwrite: values.overwrite, is_seen: isSeen() });
            if (mine === question) result = answer;
        } catch (error) {
            if (mine === question && error instanceof ApiError) result = { problems: error.problems.length ? error.problems : [{ field: "", level: "error", message: error.message }], plan: null };
            else if (mine === question) setTimeout(() => mine === question && check(), 2000);
        }
        if (mine !== question || signal.aborted) return;
        isChecking = false;
        tellFamily(result?.base_model?.family || "");
        values.fit(values.family);
        checked(result);
        show();
        if (result?.plan?.waiting) setTimeout(() => mine === question && check(), Math.max(500, 2 * (Date.now() - began))); // the host looks at the rest meanwhile
    };
    const checkSoon = debounce(350, check);

    // What depends on the kind of base model is drawn for it.
    function tellFamily(family) {
        if (family === values.family) return;
        values.family = family;
        for (const field of fields.values()) if (field.follows?.includes("family")) field.show();
    }

    function show() {
        const problems = result?.problems || [];
        for (const [name, field] of fields) {
            const own = problems.filter((problem) => problem.field === name && !(problem.code && problem.level !== "error"));
            field.problems(!result ? null : isEmpty(name) && !field.isTouched() && !hasTried ? own.filter((problem) => problem.level !== "error") : own);
        }
        fill(body, planOf(result, check, isEmpty(F.images), isSized()), problems.filter((problem) => !problem.code && !fields.has(problem.field)).map(note));
        findings.show(problems.filter((problem) => problem.code), result?.plan || {});
        see.hidden = !result?.plan?.images;
        offer.show(result?.package);
        needs.show(result?.forecast);
        showReasons(problems);
        body.classList.toggle("lt-stale", isChecking);
        set(body, "aria-busy", String(isChecking));
        recipe.hidden = !result?.command;
        const text = JSON.stringify([result?.command, result?.config, result?.dataset]);
        if (recipe.dataset.text !== text) fill(recipe.lastChild, recipeOf(result || {}));
        recipe.dataset.text = text;
    }

    function showReasons() {
        const wrong = [...new Set([...Object.keys(values.wrong), ...errors().map((problem) => problem.field)])];
        const link = (text, name) => h("li", {}, name && (fields.has(name) || values.control(name)) ? h("button", { type: "button", class: "lt-link", onclick: () => reveal(name) }, text) : text);
        const lines = missing().map(([text, name]) => link(t(text), name));
        for (const name of wrong) lines.push(link(name && name !== F.name ? `${labelOf(name)}: ${messageOf(name)}` : messageOf(name), name));
        const isFine = !lines.length && Boolean(result?.ok ?? (result && result.plan));
        button.disabled = !isFine || isStarting || isChecking;
        button.textContent = t(isStarting ? "starting" : activeRun() ? "train_queue" : "train_button");
        fill(reasons, lines.length ? lines : isFine ? h("li", { class: "lt-fine" }, icon("check"), t("checked_fine")) : h("li", { class: "lt-subdued" }, t("checking")));
    }
    // With a size that is none, those of the plan are of the form before.
    const isSized = () => ![...Object.keys(values.wrong), ...errors().map((problem) => problem.field)].some((name) => SIZES.has(name)) && Boolean(String(values.get("resolution") ?? "").trim());
    function messageOf(name) {
        const unread = values.wrong[name];
        return unread ? t(unread.error, unread) : told(errors().find((problem) => problem.field === name) || {});
    }

    async function train() {
        hasTried = true;
        if (button.disabled) {
            show();
            const first = missing()[0]?.[1] || Object.keys(values.wrong)[0] || errors()[0]?.field;
            if (first) reveal(first);
            return;
        }
        if (result?.base_model?.is_demo && !(await ask(t("demo_ask"), t("demo_train")))) return reveal(F.model);
        isStarting = true;
        retract();
        show();
        try {
            if (!(await needs.before())) return;
            const { id } = await post("runs", { values: values.send(), overwrite: values.overwrite });
            values.overwrite = false;
            app.state = { ...app.state, active: app.state.active || id };
            go("runs", id);
        } catch (error) {
            if (error.problems?.length) result = { ...result, ok: false, problems: error.problems };
            refuse(error);
        } finally {
            isStarting = false;
            show();
        }
    }

    values.watch(signal, () => {
        showReasons();
        checkSoon();
    });
    // What trains or waits has the card, and a name: a run that began or ended elsewhere is noticed here.
    const busyRuns = () => JSON.stringify((app.state.runs || []).filter((run) => run.active || run.state === "queued").map((run) => [run.id, run.active]));
    let knownRuns = busyRuns();
    stateNews.watch(signal, () => {
        if (knownRuns === busyRuns()) return;
        knownRuns = busyRuns();
        showReasons();
        check();
    });
    check();
    return { element, train };
}

// The plan as numbers, subsets, buckets and examples; `check` asks the host anew. `isSized`: the sizes can be made of the form as it is.
function planOf(result, check, lacksImages, isSized) {
    const plan = result?.plan;
    if (!plan) return h("p", { class: "lt-plan-empty" }, t(lacksImages ? "plan_waiting" : result ? "plan_wrong" : "checking"));
    const cells = [["plan_images", plan.images], plan.reg_images ? ["plan_reg", plan.reg_images] : null, plan.kept_aside ? ["plan_aside", plan.kept_aside] : null, ["plan_steps_epoch", plan.steps_per_epoch], ["plan_epochs", plan.epochs]].filter(Boolean);
    return [
        h("p", { class: "lt-plan-total" }, h("strong", {}, formatNumber(plan.total_steps)), " ", t("plan_total", { x: plan.total_steps })),
        h("dl", { class: "lt-plan-cells" }, cells.map(([name, value]) => h("div", {}, h("dt", {}, t(name, { x: value })), h("dd", {}, formatNumber(value))))),
        plan.subsets?.length ? [subsets(plan.subsets), masks(plan.subsets)] : null,
        plan.buckets?.length && isSized ? buckets(plan.buckets) : null,
        plan.examples?.length ? h("details", { class: "lt-fold" }, h("summary", {}, t("plan_examples")),
            h("ul", { class: "lt-plan-examples" }, plan.examples.map((one) => h("li", {}, h("code", {}, one.image), h("span", {}, one.caption))))) : null,
        output(result, check),
    ];
}

const SIZES = new Set(["resolution", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps"]);
const base = (path) => String(path).split(/[\\/]/).filter(Boolean).at(-1) || path;

function subsets(list) {
    return h("table", { class: "lt-table" },
        h("thead", {}, h("tr", {}, ["plan_folder", "plan_count", "plan_repeats", "plan_captions"].map((name) => h("th", { scope: "col" }, t(name))))),
        h("tbody", {}, list.map((one) => h("tr", {},
            h("th", { scope: "row", title: one.folder }, h("span", { class: "lt-cut" }, (!one.class_tokens?.includes("\n") && one.class_tokens) || folderName(one.folder)), one.is_reg && h("span", { class: "lt-chip" }, t("plan_is_reg"))),
            h("td", {}, formatNumber(one.images)), h("td", {}, formatNumber(one.repeats)), h("td", {}, Number.isFinite(one.captions) ? formatNumber(one.captions) : "–")))));
}

function masks(list) {
    const own = list.filter((one) => !one.is_reg || one.masks_found);
    const [found, all] = [own.reduce((sum, one) => sum + one.masks_found, 0), own.reduce((sum, one) => sum + one.images, 0)];
    return found ? h("p", { class: "lt-subdued lt-masks" }, t("plan_masks", { x: formatNumber(found), of: formatNumber(all) })) : null;
}

// Each bucket as a little shape of its proportions, with its size and how many images fall into it.
function buckets(list) {
    const largest = Math.max(...list.flatMap((bucket) => [bucket.width, bucket.height]));
    return h("div", { class: "lt-buckets" }, h("h3", {}, t("plan_buckets")), h("ul", {}, list.map((bucket) => h("li", {},
        h("span", { class: "lt-bucket-shape", "aria-hidden": "true" }, h("i", { style: `width:${(22 * bucket.width) / largest}px;height:${(22 * bucket.height) / largest}px` })),
        h("span", {}, `${bucket.width}×${bucket.height}`), h("span", { class: "lt-subdued" }, `${formatNumber(bucket.images)}`)))));
}

function output(result, check) {
    const { output, disk, base_model: model } = result;
    const lines = [];
    if (model?.message || model?.family) lines.push(h("p", { class: "lt-subdued" }, `${t("plan_base")}: ${model.message || model.family}`));
    if (output?.saved_as) lines.push(h("p", { class: "lt-subdued lt-wrap" }, `${t("plan_output")}: `, h("code", {}, base(output.saved_as))));
    if (output?.exists) {
        const box = h("input", { type: "checkbox", checked: values.overwrite, onchange: () => { values.overwrite = box.checked; check(); } });
        lines.push(h("div", { class: "lt-note lt-note-info" }, icon("info"), h("div", {}, t("output_exists"), h("label", { class: "lt-check" }, box, t("overwrite")))));
    }
    if (Number.isFinite(disk?.needed)) lines.push(h("p", { class: "lt-subdued" }, t("disk_needed", { free: formatBytes(disk.free), needed: formatBytes(disk.needed) })));
    return lines;
}
