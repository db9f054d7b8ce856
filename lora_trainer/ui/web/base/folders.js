// What a folder is called on the page.
import { formatDate } from "./numbers.js";
import { t } from "./texts.js";

const UPLOAD = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-[0-9a-f]{6}$/; // how the host names a folder of dropped pictures: when they came

// The last part of a path; an upload is known by its day and time.
export function folderName(path) {
    const last = String(path).split(/[\\/]/).filter(Boolean).at(-1) || String(path);
    const when = UPLOAD.exec(last)?.slice(1).map(Number);
    return when ? t("upload_of", { x: formatDate(new Date(when[0], when[1] - 1, ...when.slice(2)).getTime() / 1000) }) : last;
}
