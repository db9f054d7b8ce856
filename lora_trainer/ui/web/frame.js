// The frame of the page: header, tabs, the view that the address names, and what the host says about itself.
import { app, isBusy, stateNews } from "./base/app.js";
import { fill, focusOn, h, set } from "./base/elements.js";
import { fileNews, renewFiles } from "./base/files.js";
import { get, getPatiently, newsOfRuns, watchConnection } from "./base/host.js";
import { icon } from "./base/icons.js";
import { note, report, say, toastPlace } from "./base/messages.js";
import { formatNumber } from "./base/numbers.js";
import { go, place, watchMoves } from "./base/place.js";
import { poll } from "./base/poll.js";
import { language, setLanguage, texts } from "./base/texts.js";
import { offerSending } from "./send/gallery.js";
import { catchElsewhere } from "./train/drops.js";
import { values } from "./train/values.js";
import { VIEWS } from "./views.js";
import { refreshListsOf, tabOf, wasOpen } from "./webui.js";

const t = texts({
    language: ["Language", "언어"],
    updated: ["LoRA Trainer was updated: this page is of the version before.", "LoRA Trainer가 업데이트되었습니다. 이 페이지는 이전 버전입니다."],
    interrupted: ["The training of {x} was interrupted. It can go on from step {step}.", "{x} 학습이 중단되었습니다. {step} 스텝부터 이어서 학습할 수 있습니다."],
    see_run: ["Show the run", "실행 보기"],
    updated_advice: ["Reload the page.", "페이지를 새로고침하세요."],
});

// What is drawn lives until it is drawn anew: all that it started ends with its signal.
const lives = { page: new AbortController(), view: new AbortController() };
function begin(name) {
    lives[name].abort();
    lives[name] = new AbortController();
    return lives[name].signal;
}

const offered = () => VIEWS.filter((view) => view.isOffered?.() ?? true);
const current = () => offered().find((view) => view.name === place().view) || VIEWS[0];

export async function startFrame(mount) {
    fill(mount, h("p", { class: "lt-loading", role: "status" }, t("loading")));
    [app.state, app.form] = await Promise.all([getPatiently("state"), getPatiently("form")]);
    openTab(mount);
    draw();
    offerSending();
}

// In the Web UI the tab itself has to be opened: where it was open before a reload, else when the address names something of ours.
function openTab(mount) {
    const isWanted = wasOpen(mount) ?? location.hash.startsWith("#lora-");
    if (isWanted && !mount.offsetParent) tabOf("lora_trainer", "LoRA Trainer")?.click();
}

function draw() {
    const signal = begin("page");
    values.load(app.form.spec, app.form.presets);
    if (app.mount.dataset.host === "standalone") document.documentElement.lang = language; // else the page is the Web UI's
    const banner = h("div", { class: "lt-banner", role: "alert", hidden: true }, h("span", { class: "lt-spinner" }), h("span", {}, t("connection_lost")));
    const tabs = h("div", { class: "lt-tabs", role: "tablist", "aria-label": "LoRA Trainer", onkeydown: walk },
        offered().map((view) =>
            h("button", { type: "button", role: "tab", id: `lt-tab-${view.name}`, "aria-controls": "lt-panel", onclick: () => go(view.name) },
                view.title(), view.name === "runs" && h("span", { class: "lt-dot", hidden: true }))));
    const panel = h("div", { class: "lt-panel", role: "tabpanel", id: "lt-panel" });
    const problems = h("div", { class: "lt-problems" });
    fill(app.mount, h("div", { class: "lt-app", lang: language },
        h("header", { class: "lt-header" }, h("div", { class: "lt-brand" }, mark(), h("span", {}, "LoRA Trainer")), tabs, h("div", { class: "lt-header-end" }, languageChoice())),
        banner, problems, panel, toastPlace()));
    watchConnection(signal, (why) => {
        banner.hidden = !why;
        if (why && banner.lastElementChild.textContent !== why) banner.lastElementChild.textContent = why;
    });
    const show = () => showView(tabs, panel);
    watchMoves(signal, show);
    catchElsewhere(signal, () => current().name !== "train");
    window.addEventListener("hashchange", () => app.mount.isConnected && show(), { signal });
    show();
    fileNews.tell(); // the lists have just been read
    showState(tabs, problems);
    poll(signal, 3, async () => {
        const before = app.state;
        app.state = await newsOfRuns("state", before);
        showState(tabs, problems);
        tellEnds(before);
        stateNews.tell();
    }, isBusy); // the end of a run is told, and its LoRA shown, wherever one is
}

function languageChoice() {
    const choice = h("select", { class: "lt-language", id: "lt-language", "aria-label": t("language"), onchange: () => {
        setLanguage(choice.value);
        app.state = { ...app.state, token: "" }; // what the host says comes anew
        draw();
    } }, h("option", { value: "en" }, "English"), h("option", { value: "ko" }, "한국어"));
    choice.value = language;
    return choice;
}

// Arrow keys walk along the tabs, as in every tab list.
function walk(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const views = offered();
    const next = views[(views.indexOf(current()) + by + views.length) % views.length].name;
    go(next);
    app.mount.querySelector(`#lt-tab-${next}`).focus();
}

function showView(tabs, panel) {
    const view = current(), { id } = place();
    for (const tab of tabs.children) {
        const isIt = tab.id === `lt-tab-${view.name}`;
        set(tab, "aria-selected", String(isIt));
        set(tab, "tabindex", isIt ? "0" : "-1");
    }
    set(panel, "aria-labelledby", `lt-tab-${view.name}`);
    const focused = document.activeElement;
    const isLost = panel.contains(focused) || (focused === document.body && panel.childElementCount > 0);
    const isFirst = !panel.childElementCount;
    panel.replaceChildren(view.draw(begin("view"), id));
    if (view.choosesFiles && !isFirst) renewFiles().catch(report); // the page may stand for hours
    if (isLost) focusOn(panel); // who came here by the keyboard goes on from here
}

// A run that has ended since `before`: said wherever one is on the page, and its file is shown on the Web UI's cards.
function tellEnds(before) {
    for (const run of app.state.runs || []) {
        const earlier = (before.runs || []).find((one) => one.id === run.id);
        const hasEnded = !run.active && (earlier?.active || (run.started && run.ended > (before.time ?? Infinity)));
        if (!hasEnded) continue;
        renewFiles().catch(() => {}); // each view asks itself where it needs them
        if (run.lora) get(`runs/${encodeURIComponent(run.id)}`).then((answer) => refreshListsOf(answer.run.lora), () => {});
        say(`${run.name}: ${t("state_" + run.state)}`, run.state === "failed" ? "error" : "info");
    }
}

// What the host says about itself, on top: missing packages and how to mend that, that it has become another version.
function showState(tabs, notes) {
    tabs.querySelector("#lt-tab-runs .lt-dot").hidden = !app.state.active;
    const problems = [...(app.state.problems || []), ...(app.form.problems || [])];
    if (app.state.read_only) problems.push({ level: "warning", message: app.state.read_only });
    if (app.state.page && app.state.page !== app.mount.dataset.version) problems.push({ level: "warning", message: t("updated"), advice: t("updated_advice") });
    const last = app.state.runs?.[0], cut = !app.state.active && last?.state === "failed" && last.resumable ? last : null;
    const text = JSON.stringify([problems, cut?.id]);
    if (notes.dataset.text === text) return;
    notes.dataset.text = text;
    fill(notes, problems.map(note), cut && interrupted(cut));
}

// The last training crashed, or its machine went down: it can go on, which its page offers.
const interrupted = (run) =>
    h("div", { class: "lt-note lt-note-info" }, icon("info"),
        h("div", { class: "lt-row" }, h("span", {}, t("interrupted", { x: run.name, step: formatNumber(run.resumable.step) })),
            h("a", { class: "lt-btn lt-btn-small", href: `#lora-run=${encodeURIComponent(run.id)}` }, t("see_run"))));

// The mark: a large matrix as the product of a tall and a wide one.
function mark() {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("class", "lt-mark");
    svg.setAttribute("aria-hidden", "true");
    for (const [x, y, width, height] of [[2, 2, 6, 20], [10, 2, 12, 6], [10, 10, 12, 12]]) {
        const part = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        for (const [key, value] of Object.entries({ x, y, width, height, rx: 1.6, opacity: width === height ? 0.35 : 1 })) part.setAttribute(key, value);
        svg.append(part);
    }
    return svg;
}
