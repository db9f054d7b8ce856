// The line that says which pictures are shown, in what order and how large.
import { fill, h, set } from "../base/elements.js";
import { icon } from "../base/icons.js";
import { remember } from "../base/memory.js";
import { formatNumber } from "../base/numbers.js";
import { debounce } from "../base/timing.js";
import { LOOKS, TRAINED } from "./dataset.js";
import { SIZES } from "./grid.js";
import { t } from "./texts.js";
import { terms, toggled } from "./words.js";

const SORTS = ["name", "caption", "tokens", "tags", "size", "stars", "loss", "findings"];

// Returns {element, wrong, focus(), put(text, isNot)}.
export function filterLine(signal, data, { size, zoom }) {
    const input = h("input", { type: "search", class: "lt-input", id: "lt-data-filter", autocomplete: "off", spellcheck: "false", value: data.filter, placeholder: t("filter_placeholder"), "aria-label": t("filter"), "aria-describedby": "lt-data-wrong" });
    const count = h("span", { class: "lt-data-count", role: "status" });
    const wrong = h("div", { class: "lt-data-wrong", id: "lt-data-wrong", role: "alert", hidden: true });
    const sort = h("select", { class: "lt-input", "aria-label": t("sort"), onchange: () => data.query({ sort: sort.value }) }, SORTS.map((name) => h("option", { value: name }, t("sort_" + name))));
    sort.value = data.sort;
    const turn = h("button", { type: "button", class: "lt-btn lt-btn-icon", "aria-label": t("descending"), title: t("descending"), onclick: () => data.query({ descending: !data.descending }) });
    const slider = h("input", { type: "range", class: "lt-data-size", min: "0", max: SIZES.length - 1, step: "1", value: SIZES.indexOf(size), "aria-label": t("size"), title: t("size"), oninput: () => zoom(SIZES[slider.value]) });
    let isTyped = false; // and not asked yet
    const ask = () => { isTyped = false; return data.query({ filter: input.value.trim() }); };
    const askSoon = debounce(250, ask);
    input.addEventListener("input", () => { isTyped = true; askSoon(); });
    input.addEventListener("keydown", (event) => {
        if (event.isComposing || event.key !== "Enter") return;
        event.preventDefault();
        ask();
    });
    const again = h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => data.query() }, icon("reset"), t("filter_again"));
    const looks = h("div", { class: "lt-data-looks" });
    const help = h("details", { class: "lt-fold" }, h("summary", {}, t("filter_help")), h("ul", { class: "lt-data-examples" }, [...Array(8).keys()].map((index) => example(index))));
    function example(index) {
        const [text, about] = t(`filter_example_${index}`).split(" — ");
        return h("li", {}, h("button", { type: "button", class: "lt-link", onclick: () => put(text) }, h("code", {}, text)), h("span", { class: "lt-subdued" }, about));
    }

    function show() {
        if (!isTyped && document.activeElement !== input) input.value = data.filter;
        const trained = data.counts[TRAINED] ?? data.total;
        const all = [t("images_count", { x: formatNumber(data.ids.length) }), ...(trained < data.total ? [t("of_them_trained", { x: formatNumber(trained) })] : [])];
        count.textContent = data.filter ? t("shown_of", { x: formatNumber(data.ids.length), total: formatNumber(data.total) }) : all.join(", ");
        fill(turn, icon(data.descending ? "down" : "up"));
        set(turn, "aria-pressed", String(data.descending));
        again.hidden = !data.isStale;
        const on = terms(data.filter);
        fill(looks, LOOKS.filter((look) => data.counts[look] || on.includes(look)).map((look) => h("button", { type: "button", class: "lt-chip", "aria-pressed": String(on.includes(look)), onclick: () => put(toggled(data.filter, look, `-${look}`)) }, t(`look_${LOOKS.indexOf(look)}`), h("b", {}, formatNumber(data.counts[look])))));
        wrong.hidden = !data.wrong;
        set(input, "aria-invalid", data.wrong ? "true" : null);
        if (data.wrong) fill(wrong, data.wrong.message, ...marked(data.filter, data.wrong.at));
        remember("data.sort", { sort: data.sort, descending: data.descending });
    }
    // The filter with the place marked where it goes wrong.
    const marked = (text, at) => (Number.isInteger(at) ? [" ", h("code", {}, text.slice(0, at), h("mark", {}, text.slice(at).split(/(?<=\S)(?=\s)/)[0] || " "), text.slice(at).split(/(?<=\S)(?=\s)/).slice(1).join(""))] : []);
    function put(text) {
        input.value = text;
        ask();
    }
    data.watch(signal, (what) => ["pictures", "counts", "tags"].includes(what) && show());
    show();
    return {
        element: h("div", { class: "lt-stack" },
            h("div", { class: "lt-data-line" }, h("div", { class: "lt-search" }, icon("search"), input), count, again, sort, turn, slider), wrong, h("div", { class: "lt-data-line" }, looks, help)),
        focus: () => { input.focus(); input.select(); },
        put,
        get text() { return input.value.trim(); },
        showSize: (next) => (slider.value = SIZES.indexOf(next)),
    };
}
