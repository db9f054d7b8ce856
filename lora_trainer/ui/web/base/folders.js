// What a folder is called on the page. An upload has a name of the host's (when it came), which says nothing to a person: it is known
// by its pictures and its day.
import { app } from "./app.js";
import { formatDate, formatNumber } from "./numbers.js";
import { t } from "./texts.js";

const ID = "(\\d{4})(\\d\\d)(\\d\\d)-(\\d\\d)(\\d\\d)(\\d\\d)-[0-9a-f]{6}";
const UPLOAD = new RegExp(`^${ID}$`), ALONE = new RegExp(`(?<![\\w/\\\\.-])${ID}(?![\\w/\\\\-]|\\.\\w)`, "g"), PLACE = new RegExp(`[\\\\/](${ID})(?:[\\\\/](.+))?$`);

function uploadName(id) {
    const [year, month, ...rest] = UPLOAD.exec(id).slice(1).map(Number);
    const when = formatDate(new Date(year, month - 1, ...rest).getTime() / 1000);
    const { first, images } = app.state.uploads?.[id] || {};
    if (!first) return t("upload_of", { x: when });
    return images > 1 ? t("upload_of_several", { x: first, n: formatNumber(images - 1), when }) : t("upload_of_one", { x: first, when });
}

// The last part of a path.
export function folderName(path) {
    const last = String(path).split(/[\\/]/).filter(Boolean).at(-1) || String(path);
    return UPLOAD.test(last) ? uploadName(last) : last;
}

// A whole path, as it is; of an upload its name, and the file in it.
export function placeName(path) {
    const found = PLACE.exec(path);
    return found ? [uploadName(found[1]), found.at(-1)].filter(Boolean).join(": ") : path;
}

// A text of the host's that speaks of uploads.
export const withUploads = (text) => text.replace(ALONE, (id) => `“${uploadName(id)}”`);
