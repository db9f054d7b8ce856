// Files dropped anywhere on the page while the form is shown: told apart, and brought to the part of the form that they are for.
import { app } from "../base/app.js";
import { report, say } from "../base/messages.js";
import { go } from "../base/place.js";
import { isSettings } from "./recreate.js";
import { t } from "./texts.js";
import { transfer } from "./transfer.js";

const isPicture = ({ name }) => app.form.uploads.images.some((ending) => name.toLowerCase().endsWith(ending));
const isText = ({ name }) => name.toLowerCase().endsWith(".txt");
const isInFolder = ({ name }) => name.includes("/");
const stemOf = ({ name }) => name.toLowerCase().replace(/\.[^./]*$/, "");

// A LoRA or a configuration fills the form, with the prompts that lie beside it; all else is for the place of the images,
// which says by name what it does not take. A text named like one of the pictures is its caption.
export function toldApart(files) {
    if (!files.some((one) => !isInFolder(one) && isSettings(one.name))) return { settings: [], others: files };
    const stems = new Set(files.filter(isPicture).map(stemOf));
    const isOfSettings = (one) => !isInFolder(one) && (isSettings(one.name) || (isText(one) && !stems.has(stemOf(one))));
    return { settings: files.filter(isOfSettings), others: files.filter((one) => !isOfSettings(one)) };
}

// Standing alone the whole page is ours; in the Web UI what is around the page has drops of its own.
const whole = () => (app.mount.dataset.host === "standalone" ? document : app.mount);
const hasFiles = (event) => event.dataTransfer?.types?.includes("Files");
let form = null; // takes a drop, while the form is shown

// What is dropped onto the card of a concept is its own; elsewhere it goes to the first that has no pictures yet.
export function catchDrops(signal, uploads, recreate) {
    const place = whole();
    const on = (kind, action) => place.addEventListener(kind, (event) => hasFiles(event) && action(event), { signal });
    const under = (target) => uploads.find((one) => one.element.closest("[data-concept]")?.contains(target)) || uploads.find((one) => one.isEmpty()) || uploads[0];
    const mark = (marked) => uploads.forEach((one) => one.mark(one === marked));
    const over = (event) => {
        event.preventDefault();
        mark(under(event.target));
    };
    async function take(reading, upload) {
        try {
            const drop = await reading;
            const { settings, others } = toldApart(drop.files);
            if (settings.length) await recreate.take(settings.map(({ file }) => file));
            if (others.length || drop.unread.length || !settings.length) upload.take({ ...drop, files: others });
        } catch (error) {
            report(error);
        }
    }
    on("dragenter", over);
    on("dragover", over);
    on("dragleave", (event) => place.contains(event.relatedTarget) || mark(null));
    on("drop", (event) => {
        event.preventDefault();
        event.stopPropagation(); // the Web UI sends dropped pictures to its own fields
        mark(null);
        take(transfer.filesOf(event.dataTransfer), under(event.target));
    });
    form = (reading) => take(reading, under(null));
}

// Files dropped while another view is shown, and not taken by it, go to the form.
export function catchElsewhere(signal, isElsewhere) {
    const on = (kind, action) => whole().addEventListener(kind, (event) => hasFiles(event) && isElsewhere() && !event.defaultPrevented && action(event), { signal });
    on("dragover", (event) => event.preventDefault());
    on("drop", (event) => {
        event.preventDefault();
        event.stopPropagation();
        const reading = transfer.filesOf(event.dataTransfer); // while the event lasts
        go("train");
        say(t("dropped_elsewhere"));
        form(reading);
    });
}
