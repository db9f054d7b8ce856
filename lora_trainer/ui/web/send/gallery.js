// The Web UI's galleries: which pictures they show, and a button below each that sends them here.
import { h } from "../base/elements.js";
import { busy } from "../base/dialogs.js";
import { sendPictures } from "./dialog.js";
import { t } from "./texts.js";

const GALLERIES = ["txt2img", "img2img", "extras"];
const GRID = /(^|[\\/])(xyz_|xy_)?grid-\d+[^\\/]*$|-grids[\\/]/; // how the Web UI calls its grids, and their folders

// A button in each row of the Web UI's own, which it is drawn like. Harmless when called again.
export function offerSending() {
    for (const name of GALLERIES) {
        const row = document.getElementById(`image_buttons_${name}`), id = `${name}_send_to_lora_trainer`;
        if (!row || document.getElementById(id)) continue;
        const like = row.querySelector("button");
        const button = h("button", { type: "button", id, class: like?.className || "", title: t("send_here"), "aria-label": t("send_here"), onclick: () => busy(button, () => sendPictures(name, picturesOf(name))) }, "🎓");
        (like?.parentElement || row).append(button);
    }
}

// [{url, name, infotext, isGrid, isChosen}] of what a gallery shows; isChosen: the one that is open large.
export function picturesOf(name) {
    const gallery = document.getElementById(`${name}_gallery`), told = toldOf(name);
    const among = (place) => [...(gallery?.querySelectorAll(`${place} .thumbnail-item`) || [])].filter((one) => one.querySelector("img"));
    const open = among(".thumbnails"), items = open.length ? open : among(".grid-container"); // an open picture has the others below it
    const isTold = told.infotexts.length === items.length; // of these pictures, not of others
    return items.map((item, index) => {
        const url = item.querySelector("img").src, path = pathOf(url);
        return {
            url,
            name: path.split(/[\\/]/).at(-1),
            infotext: (isTold && told.infotexts[index]) || "",
            isGrid: GRID.test(path) || (isTold && index < told.first),
            isChosen: open.length > 0 && item.classList.contains("selected"),
        };
    });
}

// What the Web UI says of its last pictures, the grids before them included; `first` is the place of the first that is no grid.
function toldOf(name) {
    try {
        const told = JSON.parse(document.querySelector(`#generation_info_${name} textarea`).value);
        return { infotexts: told.infotexts || [], first: told.index_of_first_image || 0 };
    } catch { // none yet, or a gallery without
        return { infotexts: [], first: 0 };
    }
}

function pathOf(url) {
    if (!/^(https?:|\/)/.test(url)) return ""; // data: and blob: have none
    try {
        return decodeURIComponent(new URL(url, document.baseURI).pathname);
    } catch {
        return "";
    }
}
