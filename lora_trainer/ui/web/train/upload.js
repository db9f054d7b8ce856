// Images: dropped files or folders are sent to the host (transfer.js); a path names a folder that is there
// already. Either way the pictures are shown with the captions that will be paired with them.
import { app } from "../base/app.js";
import { ask, busy } from "../base/dialogs.js";
import { fill, h } from "../base/elements.js";
import { get, post, urlOf } from "../base/host.js";
import { icon } from "../base/icons.js";
import { debounce } from "../base/timing.js";
import { note, report, say } from "../base/messages.js";
import { formatNumber } from "../base/numbers.js";
import { openFolders } from "../data/open.js";
import { captionPanel } from "./captioning.js";
import { kohyaOffer, partsOfDrop, takeDrop } from "./concepts/kohya.js";
import { scopeOf, took } from "./concepts/scope.js";
import { makeField } from "./controls.js";
import { t } from "./texts.js";
import { transfer } from "./transfer.js";
import { values } from "./values.js";

const SHOWN = 24; // pictures before "more"
const CAPTION_FIELDS = { caption_source: "caption_source", caption_extension: "caption_extension", metadata_file: "metadata_file", enable_wildcard: "settings.enable_wildcard" };
const ENDINGS = { txt: ".txt", caption: ".caption" };

// `scope` is the concept whose pictures they are. Returns {element, field, take(drop), mark(isOver), isEmpty(), isPath()}; `onFolder(name)` hears of a dropped folder.
export function imageUpload(signal, scope, onFolder) {
    const imagesName = scope.name("image_dir");
    let showAll = false, folder = null, asked = 0, typed = null, namings = 0; // namings: how often a folder was named in place of a drop
    let isPath = Boolean(values.get(imagesName)) && !scope.upload;

    const kinds = app.form.uploads;
    const input = (more) => {
        const element = h("input", { type: "file", class: "lt-offscreen", tabindex: "-1", "aria-hidden": "true", ...more, onchange: () => {
            const drop = transfer.chosen(element);
            element.value = "";
            take(drop);
        } });
        return element;
    };
    const picker = input({ multiple: true, accept: [...kinds.images, ...kinds.captions].join(",") });
    const folderPicker = input({ webkitdirectory: true });
    const headline = h("strong", {});
    const zone = h("div", { class: "lt-drop" }, icon("upload"), headline,
        h("div", { class: "lt-row lt-center" },
            h("button", { type: "button", class: "lt-btn", onclick: () => picker.click() }, t("choose_files")),
            h("button", { type: "button", class: "lt-btn", onclick: () => folderPicker.click() }, t("choose_folder"))),
        picker, folderPicker);
    const bar = h("div", { class: "lt-bar-fill" });
    const barText = h("span", { class: "lt-subdued" });
    const progress = h("div", { class: "lt-upload-progress", hidden: true, role: "status" }, h("div", { class: "lt-bar" }, bar), barText);
    const pathField = makeField(values.control(imagesName), { plain: true });
    const toggle = h("button", { type: "button", class: "lt-link", onclick: switchMode });
    const list = h("div", { class: "lt-images" });
    const kohya = kohyaOffer(signal, scope), captions = captionPanel(signal, scope);
    const element = h("div", { class: "lt-upload" }, zone, pathField.element, kohya.element, progress, list, h("div", {}, captions.button), captions.element, h("div", {}, toggle));

    // A folder that is not to be used is not shown as if it were; it is there again on the way back.
    function switchMode() {
        isPath = !isPath;
        namings += 1;
        if (transfer.owner === scope.id) transfer.forget(); // what was not taken is of the pictures before
        showMode();
        if (!isPath && !scope.upload) {
            typed = values.get(imagesName);
            values.set(imagesName, null);
        } else if (isPath && typed && !values.get(imagesName)) values.set(imagesName, typed);
        show(folder);
    }

    function showMode() {
        zone.hidden = isPath;
        pathField.element.classList.toggle("lt-only-problem", !isPath);
        toggle.textContent = t(isPath ? "use_upload" : "use_path");
    }

    // This view may be left before all has arrived: only what the form holds is touched then.
    function take(drop) {
        const parts = partsOfDrop(drop.files); // a folder of kohya's form, dropped or chosen
        if (parts) takeDrop(parts, scopeOf(scope.id));
        if (parts && !drop.unread.length) return null;
        if (parts) drop = { ...drop, files: [] };
        const before = namings;
        const all = transfer.take(drop, () => scopeOf(scope.id)?.upload || "", (answer, { files, folder: name }) => {
            if (namings !== before && isPath && !scope.upload && values.get(imagesName)) return say(t("drop_not_used"), "error"); // a folder was named meanwhile, and stays
            if (name && scopeOf(scope.id)) onFolder(name);
            return took(scope.id, answer, files);
        }, scope.id);
        values.announce(imagesName);
        return all.then(() => values.announce(imagesName));
    }

    function showTransfer() {
        progress.hidden = !transfer.isBusy() || transfer.owner !== scope.id;
        bar.style.width = `${transfer.share * 100}%`;
        barText.textContent = transfer.total ? t("uploading", transfer) : "";
        if (!transfer.isBusy()) show(folder);
    }

    // Which captions the training would read: the host shows those.
    const captionsWanted = () => new URLSearchParams(Object.entries(CAPTION_FIELDS).filter(([, field]) => scope.get(field)).map(([name, field]) => [name, String(scope.get(field))]));

    // Asks the host what lies in the folder now; the latest question wins.
    const isSame = (one, other) => JSON.stringify({ ...one, waiting: 0 }) === JSON.stringify({ ...other, waiting: 0 });
    async function read(isAgain = false) {
        const path = values.get(imagesName);
        const question = ++asked, began = Date.now();
        if (!path) return show(null);
        try {
            const query = captionsWanted();
            if (!scope.upload) query.set("folder", path);
            const answer = await get(`${scope.upload ? `uploads/${encodeURIComponent(scope.upload)}` : "images"}?${query}`);
            if (question !== asked) return null;
            if (answer.id && !scope.upload && document.activeElement?.id !== `lt-${imagesName}`) { // the settings of an earlier run name an upload
                scope.upload = answer.id;
                isPath = false;
                showMode();
            }
            if (answer.waiting) setTimeout(() => question === asked && !signal.aborted && read(true), Math.max(1000, 2 * (Date.now() - began))); // whether the rest is whole
            if (!(isAgain && isSame(answer, folder))) show(answer);
        } catch (error) {
            if (question !== asked) return null;
            if (error.status === 404 && scope.upload) { // the host has thrown the old upload away
                scope.upload = "";
                values.set(imagesName, null);
            }
            show(null);
        }
        return null;
    }

    function show(next) {
        if (next !== folder) kohya.look(next);
        folder = next;
        const images = folder?.images || [];
        captions.show(images.length);
        const mine = Boolean(scope.upload && folder?.id);
        headline.textContent = t(mine && images.length ? "drop_more" : "drop_here");
        zone.classList.toggle("lt-drop-small", images.length > 0);
        const trained = images.filter(isTrained);
        const missing = trained.filter((image) => image.caption === null || image.caption === undefined).length;
        const chip = missing ? t("without_caption", { x: formatNumber(missing) }) : t("all_captioned");
        const shown = showAll ? images : images.slice(0, SHOWN);
        const count = trained.length + (folder?.more || 0) - (folder?.more_broken || 0) - (folder?.more_left_out || 0), isMine = transfer.owner === scope.id && !isPath;
        fill(list,
            images.length > 0 && h("div", { class: "lt-images-head" },
                h("strong", {}, t("images_count", { x: formatNumber(count) })),
                notTrained("images_broken", images.filter((image) => image.problem && !image.left_out).length + (folder.more_broken || 0)),
                notTrained("images_left_out", images.filter((image) => image.left_out).length + (folder.more_left_out || 0)),
                scope.get("caption_source") !== "words" && (missing > 0 || !folder.more) && h("span", { class: missing ? "lt-chip lt-chip-warn" : "lt-chip lt-chip-fine" }, chip),
                h("button", { type: "button", class: "lt-btn lt-btn-small lt-push", onclick: (event) => busy(event.currentTarget, () => openFolders([folder.folder])) }, t("edit_captions")),
                mine && h("button", { type: "button", class: "lt-link", onclick: removeAll }, t("remove_all"))),
            images.length > 0 && h("ul", { class: "lt-tiles" }, shown.map((image) => tile(image, mine))),
            isNamed() && images.length > 0 && h("p", { class: "lt-subdued" }, t("captions_of_metadata")),
            images.length > shown.length && h("button", { type: "button", class: "lt-link", onclick: () => { showAll = true; show(folder); } }, t("more_images", { x: formatNumber(images.length + (folder?.more || 0) - shown.length) })),
            images.length === shown.length && folder?.more > 0 && h("p", { class: "lt-subdued lt-tiles-rest" }, t("images_not_shown", { x: formatNumber(folder.more) })),
            isMine && listed("refused_files", transfer.refused), isMine && listed("noted_files", transfer.noted, "info"),
            listed("unused_captions", (folder?.unused || []).map((name) => ({ name }))));
    }

    // What the training has none of is counted apart, so that this and the plan say the same number.
    const isTrained = (image) => !image.problem && !image.left_out;
    const notTrained = (text, count) => count > 0 && h("span", { class: "lt-chip" }, t(text, { x: formatNumber(count) }));

    // Names, each with what is to be said of it.
    const listed = (text, names, level = "warning") => names.length > 0 && note({ level, message: `${t(text)} ${names.map(({ name, message }) => (message ? `${name} (${message})` : name)).join("; ")}` });

    const isNamed = () => scope.get("caption_source") === "metadata"; // what it does not name is not trained, and no caption is written
    function tile(image, mine) {
        const caption = image.caption ?? "";
        const words = !isNamed() && scope.words(); // are trained instead
        const text = image.problem || caption || words || t("no_caption");
        const isMissing = !image.problem && (image.caption === null || image.caption === undefined);
        return h("li", { class: `lt-tile${image.problem ? " lt-tile-bad" : ""}${image.left_out ? " lt-tile-out" : ""}`, title: [image.name, image.left_out && t("tile_left_out"), text].filter(Boolean).join("\n") },
            image.left_out && h("span", { class: "lt-chip lt-tile-mark" }, t("tile_left_out")),
            image.problem ? h("span", { class: "lt-tile-image" }, icon("warning")) : h("img", { class: "lt-tile-image", src: urlOf(image.thumb), alt: image.name, loading: "lazy" }),
            mine && !isNamed() ? h("button", { type: "button", class: `lt-tile-text${isMissing ? " lt-missing" : ""}`, "aria-label": t("edit_caption", { x: image.name }), onclick: () => edit(image) }, text)
                : h("span", { class: `lt-tile-text${isMissing ? " lt-missing" : ""}` }, text),
            mine && h("button", { type: "button", class: "lt-tile-remove", "aria-label": t("remove_image", { x: image.name }), onclick: () => remove(image) }, icon("close")));
    }

    // The host answers with the folder that it changed: a run that trains from the one shown keeps that as it is.
    // `failed(error)` hears why nothing was changed. Resolves to whether it was.
    const change = (path, body, failed = report) => transfer.inTurn(async () => {
        const { upload } = scope;
        const answer = await post(`uploads/${encodeURIComponent(upload)}/${path}`, body).catch(failed);
        const isOther = scope.upload !== upload; // another folder was chosen meanwhile, and stays
        if (answer && !isOther) scope.upload = answer.id;
        if (answer && !isOther && values.get(imagesName) !== answer.folder) values.set(imagesName, answer.folder);
        else values.announce(imagesName);
        return Boolean(answer);
    });
    const remove = (image) => change("delete", { name: image.name });

    async function removeAll() {
        if (!(await ask(t("remove_all_ask"), t("remove_all")))) return;
        await transfer.inTurn(async () => {
            await post(`uploads/${encodeURIComponent(scope.upload)}/delete`, {}).catch(report);
            scope.upload = "";
            transfer.forget();
            values.set(imagesName, null);
        });
    }

    async function edit(image) {
        const area = h("textarea", { class: "lt-input", rows: "4", value: image.whole_caption ?? image.caption ?? "", "aria-label": t("caption_of", { x: image.name }) });
        const said = h("p", { class: "lt-wrong", role: "alert", hidden: true });
        const save = h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => busy(save, keep) }, t("save"));
        const dialog = h("dialog", { class: "lt-ask lt-caption-dialog", "aria-label": t("caption_of", { x: image.name }), onclose: () => dialog.remove() },
            h("form", { method: "dialog" }, h("img", { src: urlOf(image.thumb), alt: image.name }), h("code", {}, image.name), area, said,
                h("div", { class: "lt-row lt-end" }, h("button", { type: "submit", class: "lt-btn" }, t("cancel")), save)));
        area.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && save.click());
        // What was written stays in the dialog until it is saved.
        async function keep() {
            said.hidden = true;
            const source = scope.get("caption_source");
            const extension = ENDINGS[source] || (source === "other" && scope.get("caption_extension")) || ".txt";
            const written = area.value, body = { name: image.name, caption: written.trim(), extension, keep_lines: Boolean(scope.get("settings.enable_wildcard")) };
            const isSaved = await change("caption", body, (error) => {
                said.textContent = error.message;
                said.hidden = false;
            });
            if (!isSaved) return;
            if (area.value === written) dialog.close(); // else more was written meanwhile, which is not saved yet
            if (source === "words") scope.set("caption_source", "txt"); // who writes one wants it trained
        }
        app.mount.querySelector(".lt-app").append(dialog);
        dialog.showModal();
        area.focus();
    }

    // While a path is being typed the host is not asked at each letter.
    const readSoon = debounce(400, () => signal.aborted || read());
    let readAs = String(captionsWanted());
    values.watch(signal, (name) => {
        if ([scope.name("identifier"), scope.name("class_name")].includes(name)) show(folder);
        if (name === imagesName && scope.upload && isPath) { // what was dropped has come
            isPath = false;
            showMode();
        }
        const isTyped = document.activeElement?.id === `lt-${imagesName}`;
        if (name === imagesName && !isTyped) return read();
        if (name !== imagesName && readAs === String(captionsWanted())) return null;
        readAs = String(captionsWanted());
        return readSoon();
    });
    transfer.watch(signal, showTransfer);
    // Heard before the field itself: what is typed is no upload, and the draft must not say so.
    pathField.element.addEventListener("input", () => { scope.upload = ""; namings += 1; }, true);
    showMode();
    showTransfer();
    read();
    return { element, field: pathField, take, mark: (isOver) => zone.classList.toggle("lt-drop-over", isOver), isEmpty: () => !scope.get("image_dir") && !scope.upload, isPath: () => isPath };
}
