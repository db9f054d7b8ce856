// Images and words: the first two steps of the form while there is one concept, a card for each when there are several.
import { ask, busy } from "../../base/dialogs.js";
import { h, set } from "../../base/elements.js";
import { post } from "../../base/host.js";
import { icon } from "../../base/icons.js";
import { report } from "../../base/messages.js";
import { redraw } from "../../base/place.js";
import { card } from "../card.js";
import { makeField } from "../controls.js";
import { t } from "../texts.js";
import { imageUpload } from "../upload.js";
import { values } from "../values.js";
import { kohyaNews } from "./kohya.js";
import { add, isSeveral, nameAll, remove, scopes } from "./scope.js";
import { settingsFold } from "./settings.js";

export const OF_CAPTIONS = { caption_extension: "other", metadata_file: "metadata" }; // fields that stand beside one source alone
export const IN_CARDS = ["caption_source", ...Object.keys(OF_CAPTIONS), "num_repeats", "reg_dir", "reg_repeats"]; // of several concepts

// Returns {elements, uploads, open(name), show(name), isBusy()}; `fields` gets what is drawn, `onFolder(scope, name)` hears of dropped folders.
export function conceptCards(signal, fields, onFolder) {
    nameAll();
    const uploads = [], folds = [], heads = [];
    const make = (name, style) => {
        const field = makeField(values.control(name), style);
        fields.set(name, field);
        return field.element;
    };
    const several = isSeveral();
    const more = h("button", { type: "button", class: "lt-link lt-add-concept", onclick: addOne }, t("concept_add"));

    function parts(scope) {
        const upload = imageUpload(signal, scope, (name) => onFolder(scope, name));
        fields.set(scope.name("image_dir"), upload.field);
        uploads.push(upload);
        const settings = settingsFold(scope, fields);
        folds.push(settings);
        const words = h("div", { class: "lt-grid" }, make(scope.name("identifier"), { plain: true }), make(scope.name("class_name"), { plain: true }));
        return { upload, settings, words };
    }

    function one() {
        const { upload, settings, words } = parts(scopes()[0]);
        const hasOwn = Boolean(values.get("settings")) || values.get("is_off");
        return [
            card("1", t("step_images"), t("step_images_hint"), upload.element),
            card("2", t("step_words"), t("step_words_hint"), words, hasOwn && make("is_off", { plain: true }), hasOwn && settings.element, h("div", {}, more)),
        ];
    }

    function ofSeveral(scope) {
        const { upload, settings, words } = parts(scope);
        const title = h("span", {});
        const away = h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": t("concept_remove_one", { x: scope.index + 1 }), onclick: () => removeOne(scope) }, t("concept_remove"));
        const element = card("", title, "", h("div", { class: "lt-row lt-concept-head" }, make(scope.name("is_off"), { plain: true }), away),
            upload.element, words, h("div", { class: "lt-grid lt-grid-3" }, IN_CARDS.map((field) => make(scope.name(field), { plain: field === "reg_dir" }))), settings.element);
        element.classList.add("lt-concept");
        set(element, "data-concept", scope.id);
        heads.push(() => {
            title.textContent = [t("concept", { x: scope.index + 1 }), scope.words()].filter(Boolean).join(": ");
            element.classList.toggle("lt-concept-off", Boolean(scope.get("is_off")));
            for (const [field, source] of Object.entries(OF_CAPTIONS)) fields.get(scope.name(field)).element.hidden = scope.get("caption_source") !== source;
        });
        return element;
    }

    function addOne() {
        const scope = add();
        redraw();
        const place = document.getElementById(`lt-${scope.name("identifier")}`);
        place.scrollIntoView({ block: "center" });
        place.focus({ preventScroll: true });
    }

    async function removeOne(scope) {
        const isEmpty = !scope.get("image_dir") && !scope.words();
        if (!isEmpty && !(await ask(t("concept_remove_ask", { x: scope.words() || scope.index + 1 }), t("concept_remove")))) return;
        const { upload } = scope;
        remove(scope.index);
        redraw();
        if (upload) await post(`uploads/${encodeURIComponent(upload)}/delete`, {}).catch(report);
    }

    const elements = several ? [...scopes().map(ofSeveral), h("div", { class: "lt-row" }, icon("info"), h("span", { class: "lt-subdued" }, t("concepts_hint")), more, saveButton())] : one();
    return {
        elements: [kohyaNews(), elements], uploads,
        open: (name) => folds.forEach((fold) => fold.open(name)),
        show: () => [...heads, ...folds.map((fold) => fold.count)].forEach((show) => show()),
    };
}

// All of the list as a data set file, for the command line or another program.
function saveButton() {
    const button = h("button", { type: "button", class: "lt-link", onclick: () => busy(button, async () => {
        const { dataset } = await post("concepts/file", { values: values.send() });
        const address = URL.createObjectURL(new Blob([dataset], { type: "application/toml" }));
        h("a", { href: address, download: "dataset.toml" }).click();
        setTimeout(() => URL.revokeObjectURL(address), 10_000);
    }) }, t("concepts_save"));
    return button;
}
