// Pictures in rows, and one of them large in a dialog that the keyboard can walk through.
import { app } from "./app.js";
import { focusOn, h, set } from "./elements.js";
import { icon } from "./icons.js";
import { copyButton } from "./messages.js";
import { t } from "./texts.js";

// pictures: [{url, name, caption, track?, step?}]; opens a modal dialog at `index`. Left and right walk through all of
// them; up and down along those of one `track`, to a later or an earlier step.
export function showPicture(pictures, index) {
    const opener = document.activeElement;
    const image = h("img", { alt: "" });
    const caption = h("figcaption");
    const count = h("span", { class: "lt-light-count" });
    const save = h("a", { class: "lt-btn lt-btn-small" }, icon("download"), t("download"));
    // The neighbour in time: the nearest later (1) or earlier (-1) picture of the same track.
    const inTime = (by) => pictures.map((one, at) => [one, at]).filter(([one]) => one.track !== undefined && one.track === pictures[index].track && (one.step - pictures[index].step) * by > 0)
        .sort(([one], [other]) => (one.step - other.step) * by)[0]?.[1];
    const go = (to) => {
        if (to === undefined) return;
        index = (to + pictures.length) % pictures.length;
        const picture = pictures[index];
        image.src = picture.url;
        image.alt = picture.name;
        caption.textContent = picture.caption || "";
        count.textContent = pictures.length > 1 ? `${index + 1} / ${pictures.length}` : "";
        set(save, "href", picture.url);
        set(save, "download", picture.name);
        for (const [button, by] of times) set(button, "aria-disabled", inTime(by) === undefined ? "true" : null); // a disabled one loses the focus
    };
    const arrow = (name, by) => h("button", { type: "button", class: `lt-light-arrow lt-light-${name}`, "aria-label": t(name), onclick: () => go(index + by), hidden: pictures.length < 2 }, icon("back"));
    const hasTime = pictures.some((picture) => picture.track !== undefined);
    const times = hasTime ? [["earlier_step", -1], ["later_step", 1]].map(([name, by]) => [h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => go(inTime(by)) }, t(name)), by]) : [];
    const dialog = h("dialog", { class: "lt-light", "aria-label": pictures[index].name },
        h("div", { class: "lt-light-bar" }, count, times.map(([button]) => button), save, copyButton(() => pictures[index].caption || ""),
            h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": t("close"), onclick: () => dialog.close() }, icon("close"))),
        h("figure", {}, image, caption), arrow("previous", -1), arrow("next", 1));
    dialog.addEventListener("keydown", (event) => {
        const to = { ArrowLeft: index - 1, ArrowRight: index + 1, ArrowUp: inTime(1), ArrowDown: inTime(-1), Home: 0, End: pictures.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        go(to);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
        dialog.remove();
        if (opener?.isConnected) focusOn(opener);
    });
    app.mount.querySelector(".lt-app").append(dialog);
    go(index);
    dialog.showModal();
}

export const pictureButton = (picture, open) =>
    h("button", { type: "button", class: "lt-picture", "aria-label": picture.name, title: picture.caption || picture.name, onclick: open },
        h("img", { src: picture.thumb || picture.url, alt: picture.caption || picture.name, loading: "lazy" }));

// A grid of pictures; `pictures` as above, with `thumb` for the small one.
export const gallery = (pictures) => h("div", { class: "lt-gallery" }, pictures.map((picture, index) => pictureButton(picture, () => showPicture(pictures, index))));
