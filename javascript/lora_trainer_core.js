// The kernel of the page: element builder, talk with the host, start and restart. Every file registers on
// window.loraTrainer; the order in which the files are loaded does not matter.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const ROOT = "lora_trainer_root";
    const API = "./lora-trainer/api/";

    // --- elements -----------------------------------------------------------------------------------------------
    // h("button", {class: "lt-btn", onclick: f, disabled: true, "aria-label": "x"}, child, [children], "text")
    LT.h = function (tag, properties, ...children) {
        const element = document.createElement(tag);
        for (const [key, value] of Object.entries(properties || {})) LT.set(element, key, value);
        element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
        return element;
    };

    LT.set = function (element, key, value) {
        if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
        else if (key === "class") element.className = value;
        else if (["value", "checked", "disabled", "hidden", "textContent", "indeterminate"].includes(key)) element[key] = value;
        else if (value === null || value === undefined || value === false) element.removeAttribute(key);
        else element.setAttribute(key, value === true ? "" : String(value));
    };

    LT.fill = function (element, ...children) {
        const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
        LT.keepFocus(element, () => element.replaceChildren(...shown));
        return element;
    };

    // Drawing anew does not take the keyboard's focus away: it goes to what stands for the same thing now, else to the place.
    LT.keepFocus = function (element, draw) {
        const focused = document.activeElement, had = element !== focused && element.contains(focused);
        const [name, at] = had ? identity(element, focused) : [];
        draw();
        if (had && document.activeElement !== focused) LT.focus(focused.isConnected ? focused : find(element, name, at) || element);
    };

    // Focus for what cannot be reached by the Tab key as well, without moving the page.
    LT.focus = function (element) {
        if (element.tabIndex < 0) {
            element.tabIndex = -1;
            element.classList.add("lt-held");
        }
        element.focus({ preventScroll: true });
    };

    // What an element is called across two drawings, and the how manieth of that name it is.
    const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
    const nameOf = (element) => element.id || `${element.tagName} ${element.getAttribute("href") || element.getAttribute("aria-label") || element.textContent}`;
    const called = (element, name) => [...element.querySelectorAll(FOCUSABLE)].filter((one) => nameOf(one) === name);
    function identity(element, focused) {
        const name = nameOf(focused);
        return [name, called(element, name).indexOf(focused)];
    }
    const find = (element, name, at) => called(element, name).filter((one) => !one.disabled)[at];

    // 24x24 line drawings, one path each.
    const ICONS = {
        upload: "M12 16V4m0 0L7 9m5-5l5 5M4 16v3a1 1 0 001 1h14a1 1 0 001-1v-3",
        folder: "M3 6a1 1 0 011-1h5l2 2h9a1 1 0 011 1v10a1 1 0 01-1 1H4a1 1 0 01-1-1z",
        close: "M6 6l12 12M18 6L6 18",
        reset: "M4 10a8 8 0 112 7M4 4v6h6",
        copy: "M9 9h10v11H9zM5 15V4h10",
        check: "M5 12l5 5L20 7",
        search: "M11 4a7 7 0 110 14 7 7 0 010-14zm5 12l4 4",
        dice: "M6 4h12a2 2 0 012 2v12a2 2 0 01-2 2H6a2 2 0 01-2-2V6a2 2 0 012-2zM8.8 8.4a.4.4 0 100 .8.4.4 0 000-.8zM15.2 14.8a.4.4 0 100 .8.4.4 0 000-.8zM12 11.6a.4.4 0 100 .8.4.4 0 000-.8z",
        reuse: "M4 12a8 8 0 0114-5l2 2m0-5v5h-5M20 12a8 8 0 01-14 5l-2-2m0 5v-5h5",
        swap: "M7 4v15m0 0l-3-3m3 3l3-3M17 20V5m0 0l-3 3m3-3l3 3",
        download: "M12 4v12m0 0l-5-5m5 5l5-5M4 20h16",
        up: "M12 19V5m0 0l-6 6m6-6l6 6",
        down: "M12 5v14m0 0l-6-6m6 6l6-6",
        back: "M15 5l-7 7 7 7",
        warning: "M12 4l9 16H3zM12 10v4m0 3h.01",
        info: "M12 3a9 9 0 110 18 9 9 0 010-18zm0 8v5m0-8h.01",
        chip: "M7 7h10v10H7zM10 7V4m4 3V4m-4 16v-3m4 3v-3M7 10H4m3 4H4m16-4h-3m3 4h-3",
        person: "M12 4a4 4 0 110 8 4 4 0 010-8zM4 20c1-4 4-6 8-6s7 2 8 6",
        brush: "M14 4l6 6-8 6-4-4zM8 12l-1 2c-2 0-3 2-4 6 4-1 6-2 6-4l2-1",
        box: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
    };
    LT.icon = function (name) {
        const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "lt-icon", "aria-hidden": "true" })) svg.setAttribute(key, value);
        const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
        path.setAttribute("d", ICONS[name]);
        svg.append(path);
        return svg;
    };

    LT.copyText = async function (text) {
        try {
            await navigator.clipboard.writeText(text);
        } catch {
            const area = LT.h("textarea", { value: text, class: "lt-offscreen" }); // a page without https has no clipboard
            LT.mount.append(area);
            area.select();
            document.execCommand("copy");
            area.remove();
        }
        LT.say(LT.t("copied"));
    };
    LT.copyButton = (text, label) =>
        LT.h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => LT.copyText(typeof text === "function" ? text() : text) },
            LT.icon("copy"), label || LT.t("copy"));

    // A short message at the bottom of the page, read out by screen readers.
    LT.say = function (message, level = "info") {
        if ([...LT.toasts.children].some((toast) => toast.textContent === message)) return; // said already
        const toast = LT.h("div", { class: `lt-toast lt-toast-${level}` }, message);
        LT.toasts.append(toast);
        setTimeout(() => toast.remove(), level === "error" ? 8000 : 2500);
    };

    LT.remember = (key, value) => {
        try {
            localStorage.setItem("lora-trainer." + key, JSON.stringify(value));
        } catch { /* private window or full: the page works without memory */ }
    };
    LT.recall = (key, otherwise = null) => {
        try {
            return JSON.parse(localStorage.getItem("lora-trainer." + key)) ?? otherwise;
        } catch {
            return otherwise;
        }
    };

    LT.sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    LT.debounce = function (milliseconds, action) {
        let timer = 0;
        return (...values) => {
            clearTimeout(timer);
            timer = setTimeout(() => action(...values), milliseconds);
        };
    };

    // --- the host -----------------------------------------------------------------------------------------------
    // What a route answers with an error status becomes an ApiError; a host that cannot be reached becomes a Lost.
    LT.sentence = (text) => (/^(a|an|all|at|every|it|no|one|the|there|this)\b/.test(text || "") ? text[0].toUpperCase() + text.slice(1) : text || "");
    // A problem's message at a field or in a list: the file it is about by its name, where it is about one (the folder is the
    // field's), so that one of thirty captions can be found.
    LT.bare = (problem) => (problem.where && problem.message?.startsWith(`${problem.where}: `) ? problem.message.slice(problem.where.length + 2) : problem.message || "");
    LT.told = (problem) => {
        const file = /[^\\/]+\.\w{2,11}(:\d+)?$/.exec(problem.where || "")?.[0];
        return file ? `${file}: ${LT.bare(problem)}` : LT.sentence(problem.message);
    };
    LT.ApiError = class extends Error {
        constructor(status, body) {
            const detail = body.error || body.detail || body;
            super([LT.sentence(detail.message) || (typeof detail === "string" ? detail : `HTTP ${status}`), detail.advice].filter(Boolean).join(" "));
            this.status = status;
            this.problems = body.problems || detail.problems || [];
        }
    };
    LT.Lost = class extends Error {};

    LT.url = (path) => API + path;

    async function request(method, path, body) {
        let response;
        const isForm = body instanceof FormData;
        try {
            response = await fetch(API + path, {
                method,
                cache: "no-store",
                credentials: "same-origin",
                headers: { "Accept-Language": LT.language, ...(body && !isForm ? { "Content-Type": "application/json" } : {}) },
                body: body && !isForm ? JSON.stringify(body) : body,
            });
        } catch {
            connection(false);
            throw new LT.Lost(LT.t("connection_lost"));
        }
        const isJson = (response.headers.get("content-type") || "").includes("json");
        // Just after a start the routes may be missing for a moment: gradio serves before the host adds them.
        const isOurs = response.headers.has("X-Lora-Trainer"); // not a proxy's that has lost the host
        if ((!isOurs && [502, 503, 504].includes(response.status)) || (response.status === 404 && !isJson)) {
            connection(false);
            throw new LT.Lost(LT.t("connection_lost"));
        }
        if (response.status === 401) { // the host was started anew, or the login has run out
            connection(false, "signed_out");
            throw new LT.Lost(LT.t("signed_out"));
        }
        connection(true);
        const answer = isJson ? await response.json() : { message: await response.text() };
        if (!response.ok) throw new LT.ApiError(response.status, answer);
        return answer;
    }
    LT.get = (path) => request("GET", path);
    LT.post = (path, body) => request("POST", path, body || {});
    LT.getPatiently = async function (path) {
        for (let wait = 300; ; wait = Math.min(wait * 1.6, 4000)) {
            try {
                return await LT.get(path);
            } catch (error) {
                if (!(error instanceof LT.Lost)) throw error;
                await LT.sleep(wait);
            }
        }
    };

    // A list of runs as it stands, after the part of it that the host sent: runs that have changed, and the order of all.
    // `known` is the answer before ({} for none); asks again when a run has come in that was sent before our time.
    LT.newsOfRuns = async function (path, known) {
        const answer = await LT.get(known.token ? `${path}?since=${encodeURIComponent(known.token)}` : path);
        if (!answer.order) return answer;
        const byId = new Map([...(known.runs || []), ...answer.runs].map((run) => [run.id, run]));
        const runs = answer.order.map((id) => byId.get(id));
        return runs.includes(undefined) ? LT.newsOfRuns(path, {}) : { ...answer, runs };
    };

    // XMLHttpRequest, because fetch does not tell how much has been sent.
    LT.send = (path, form, onProgress) =>
        new Promise((resolve, reject) => {
            const sender = new XMLHttpRequest();
            sender.open("POST", API + path);
            sender.responseType = "json";
            sender.setRequestHeader("X-Lora-Trainer", "1"); // what a form on a foreign page cannot send
            sender.setRequestHeader("Accept-Language", LT.language);
            sender.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded, event.total);
            sender.onload = () => (sender.status < 300 ? resolve(sender.response) : reject(new LT.ApiError(sender.status, sender.response || {})));
            sender.onerror = () => reject(new LT.Lost(LT.t("connection_lost")));
            sender.send(form);
        });

    let losses = 0;
    function connection(isThere, why = "connection_lost") {
        losses = isThere ? 0 : losses + 1;
        if (!LT.banner) return;
        LT.banner.hidden = losses < 2; // one failed request can be a hiccup of the network
        const place = LT.banner.lastElementChild;
        if (place.textContent !== LT.t(why)) place.textContent = LT.t(why);
    }

    LT.report = function (error) {
        if (!(error instanceof LT.ApiError || error instanceof LT.Lost)) console.error("LoRA Trainer:", error);
        if (LT.toasts) LT.say(error.message, "error");
    };

    // --- start --------------------------------------------------------------------------------------------------
    const PARTS = ["t", "poll", "shell", "trainValues", "controls", "advanced", "trainView", "upload", "transfer", "planView", "runsView", "runView", "chart", "gallery", "samples", "generateView", "toolsView", "toolResult", "trialPanel", "networkArgs", "blocksPanel", "blockParts", "networkEditor", "sendButton"];

    async function start(mount) {
        mount.dataset.started = "yes";
        showKey(mount.dataset.key);
        while (PARTS.some((part) => !LT[part])) await LT.sleep(20); // files still on their way
        LT.mount = mount;
        mount.closest("#" + ROOT).classList.add("lt-root");
        // "hidden" would keep the Train button from staying in view (position: sticky); "clip" looks the same
        const container = mount.closest(".gradio-container");
        if (container && getComputedStyle(container).overflowY === "hidden") container.style.overflow = "clip";
        for (;;) {
            try {
                return await LT.shell.start(mount);
            } catch (error) { // said in the page's place, and tried again
                LT.fill(mount, LT.h("p", { class: "lt-loading", role: "alert" }, error.message));
                if (!(error instanceof LT.ApiError)) console.error("LoRA Trainer:", error);
                await LT.sleep(5000);
            }
        }
    }

    // A host whose login does not guard our routes writes a key into its page; pictures cannot send headers, so a cookie does.
    function showKey(key) {
        if (!key) return;
        const secure = location.protocol === "https:" ? "; Secure" : "";
        document.cookie = `lora-trainer-key=${key}; path=${location.pathname}; SameSite=Strict${secure}`;
    }

    // The mount appears when gradio has drawn the tab, and again whenever it draws it anew: one watch for good.
    function watch() {
        const mount = document.querySelector(`#${ROOT} .lt-mount`);
        if (mount && !mount.dataset.started) start(mount).catch((error) => console.error("LoRA Trainer:", error));
    }
    if (!LT.watching) LT.watching = setInterval(watch, 250);
    watch();
})();
