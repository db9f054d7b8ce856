// Regularisation pictures made with the base model: how many and how, the start, how far it is, and the folder taken over.
import { app } from "../../base/app.js";
import { busy } from "../../base/dialogs.js";
import { fill, h, set } from "../../base/elements.js";
import { ApiError, get, post } from "../../base/host.js";
import { note, report } from "../../base/messages.js";
import { formatNumber } from "../../base/numbers.js";
import { poll } from "../../base/poll.js";
import { debounce } from "../../base/timing.js";
import { language } from "../../base/texts.js";
import { t } from "../texts.js";
import { values } from "../values.js";
import { scopeOf } from "./scope.js";

let job = { state: "" }, owner = "", before = null; // the host makes one series at a time; owner: the concept that asked for it here, before: its folder then
const asked = { prompt: "", negative_prompt: "", steps: 20, cfg_scale: 7, sampler: "euler_a", seed: 1 }; // while one looks elsewhere
const NUMBERS = { count: [1, 2000], steps: [1, 1000], cfg_scale: [0, 100], seed: [0, 2 ** 32] };

// A part below the field of the regularisation folder of one concept.
export function regMaker(signal, scope, field) {
    let plan = null, wrong = null, count = null;
    const wrongs = new Set(); // numbers that are none
    const told = h("div", { role: "status" });
    const button = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => busy(button, start) });
    const settings = h("div", { class: "lt-reg-settings" });
    const element = h("details", { class: "lt-fold lt-reg" }, h("summary", {}, t("reg_make")), h("p", { class: "lt-subdued" }, t("reg_hint")), settings, told, h("div", { class: "lt-row" }, button));
    field.element.append(element);
    element.addEventListener("toggle", () => element.open && look());

    const body = () => ({ values: values.send(), prefix: scope.prefix, ...asked, prompt: asked.prompt || undefined, count: count ?? undefined });

    // How many pictures of which size it would be.
    async function look() {
        try {
            [plan, wrong] = [await post("regularisation/plan", body()), null];
        } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            [plan, wrong] = [null, error.problems.map((one) => one.message).join(" ") || error.message];
        }
        if (!settings.childElementCount && plan) drawSettings();
        show();
    }

    const lookSoon = debounce(300, () => signal.aborted || look().catch(report));
    function drawSettings() {
        const samplers = app.form.spec[language].samplers || [];
        const line = (name, value, change, more = {}) => {
            const input = h("input", { type: "text", class: "lt-input", value: String(value), inputmode: NUMBERS[name] ? "decimal" : null, oninput: () => change(input, said), ...more }), said = h("span", { class: "lt-wrong", role: "alert", hidden: true });
            return h("label", {}, t(`reg_${name}`), input, said);
        };
        const number = (name, value, keep) => line(name, value, (input, said) => {
            const [minimum, maximum] = NUMBERS[name];
            const read = values.parse({ kind: name === "cfg_scale" ? "number" : "integer", minimum, maximum }, input.value);
            const error = read.error || (read.value === null ? "want_number" : "");
            said.textContent = error ? t(error, read) : "";
            said.hidden = !error;
            set(input, "aria-invalid", error ? "true" : null);
            wrongs[error ? "add" : "delete"](name);
            if (error) return show();
            keep(read.value);
            return lookSoon();
        });
        const keepAs = (name) => (value) => { asked[name] = value; };
        fill(settings, h("div", { class: "lt-grid lt-grid-3" },
            number("count", plan.count, (value) => { count = value; }), line("prompt", asked.prompt, (input) => keepAs("prompt")(input.value.trim()), { placeholder: plan.caption }), line("negative_prompt", asked.negative_prompt, (input) => keepAs("negative_prompt")(input.value.trim())),
            number("steps", asked.steps, keepAs("steps")), number("cfg_scale", asked.cfg_scale, keepAs("cfg_scale")), number("seed", asked.seed, keepAs("seed")),
            h("label", {}, t("reg_sampler"), h("select", { class: "lt-input", onchange: (event) => keepAs("sampler")(event.target.value) }, samplers.map((one) => h("option", { value: one.name, selected: one.name === asked.sampler }, one.label))))));
    }

    function show() {
        const isRunning = job.state === "running", isMine = owner === scope.id;
        button.textContent = isRunning ? t("cancel") : t(plan?.there ? "reg_go_on" : "reg_start", { x: plan?.count ?? 0 });
        button.disabled = !isRunning && (!plan || wrongs.size > 0 || plan.there >= plan.count);
        if (isRunning) return fill(told, h("p", {}, t("reg_running", { done: formatNumber(job.done), total: formatNumber(job.total) })),
            h("div", { class: "lt-bar", role: "progressbar", "aria-valuenow": job.done, "aria-valuemin": "0", "aria-valuemax": job.total, "aria-label": t("reg_make") }, h("div", { class: "lt-bar-fill", style: `width:${(100 * job.done) / Math.max(1, job.total)}%` })));
        return fill(told, isMine && job.state === "failed" && note({ level: "error", message: job.message, advice: job.advice }), wrong && h("p", { class: "lt-wrong" }, wrong),
            plan && h("p", { class: "lt-subdued" }, t(plan.own === plan.needed ? "reg_plan" : "reg_plan_own", { needed: plan.needed, own: plan.own, there: plan.there }), " ", plan.sizes.map((one) => `${one.width}×${one.height}: ${one.count}`).join(", "), h("br"), h("code", {}, plan.folder)),
            plan && plan.there > 0 && scope.get("reg_dir") !== plan.folder && h("button", { type: "button", class: "lt-link", onclick: () => scope.set("reg_dir", plan.folder) }, t("reg_use")));
    }

    async function start() {
        if (job.state === "running") return heard(await post("regularisation/stop", {}));
        [owner, before] = [scope.id, scope.get("reg_dir")];
        heard(await post("regularisation", body()));
        follow();
    }
    function heard(next) {
        const hasEnded = job.state === "running" && next.state !== "running";
        job = next;
        const whose = hasEnded && next.done > 0 && scopeOf(owner);
        if (whose && whose.get("reg_dir") === before) whose.set("reg_dir", next.folder); // else one chose another meanwhile
        if (hasEnded) look();
        show();
    }
    let halt = null;
    function follow() {
        halt?.();
        halt = poll(signal, 0.5, async () => {
            heard(await get("regularisation"));
            if (job.state !== "running") halt();
        }, () => true);
    }
    // One that was begun before this view was drawn goes on.
    get("regularisation").then((next) => {
        if (signal.aborted || next.state !== "running") return;
        job = next;
        if (!owner || owner === scope.id) element.open = true;
        follow();
    }).catch(() => {});
    show();
}
