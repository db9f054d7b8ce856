// Pictures in rows, and one of them large in a dialog that the keyboard can walk through.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});

    // pictures: [{url, name, caption, track?, step?}]; opens a modal dialog at `index`. Left and right walk through all of
    // them; up and down along those of one `track`, to a later or an earlier step.
    LT.showPicture = function (pictures, index) {
        const opener = document.activeElement;
        const image = LT.h("img", { alt: "" });
        const caption = LT.h("figcaption");
        const count = LT.h("span", { class: "lt-light-count" });
        const save = LT.h("a", { class: "lt-btn lt-btn-small" }, LT.icon("download"), LT.t("download"));
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
            LT.set(save, "href", picture.url);
            LT.set(save, "download", picture.name);
            for (const [button, by] of times) LT.set(button, "aria-disabled", inTime(by) === undefined ? "true" : null); // a disabled one loses the focus
        };
        const arrow = (name, by) => LT.h("button", { type: "button", class: `lt-light-arrow lt-light-${name}`, "aria-label": LT.t(name), onclick: () => go(index + by), hidden: pictures.length < 2 }, LT.icon("back"));
        const hasTime = pictures.some((picture) => picture.track !== undefined);
        const times = hasTime ? [["earlier_step", -1], ["later_step", 1]].map(([name, by]) => [LT.h("button", { type: "button", class: "lt-btn lt-btn-small", onclick: () => go(inTime(by)) }, LT.t(name)), by]) : [];
        const dialog = LT.h("dialog", { class: "lt-light", "aria-label": pictures[index].name },
            LT.h("div", { class: "lt-light-bar" }, count, times.map(([button]) => button), save, LT.copyButton(() => pictures[index].caption || ""),
                LT.h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": LT.t("close"), onclick: () => dialog.close() }, LT.icon("close"))),
            LT.h("figure", {}, image, caption), arrow("previous", -1), arrow("next", 1));
        dialog.addEventListener("keydown", (event) => {
            const to = { ArrowLeft: index - 1, ArrowRight: index + 1, ArrowUp: inTime(1), ArrowDown: inTime(-1), Home: 0, End: pictures.length - 1 }[event.key];
            if (to === undefined) return;
            event.preventDefault();
            go(to);
        });
        dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
        dialog.addEventListener("close", () => {
            dialog.remove();
            if (opener?.isConnected) LT.focus(opener);
        });
        LT.mount.querySelector(".lt-app").append(dialog);
        go(index);
        dialog.showModal();
    };

    LT.pictureButton = (picture, open) =>
        LT.h("button", { type: "button", class: "lt-picture", "aria-label": picture.name, title: picture.caption || picture.name, onclick: open },
            LT.h("img", { src: picture.thumb || picture.url, alt: picture.caption || picture.name, loading: "lazy" }));

    // A grid of pictures; `pictures` as above, with `thumb` for the small one.
    LT.gallery = (pictures) => LT.h("div", { class: "lt-gallery" }, pictures.map((picture, index) => LT.pictureButton(picture, () => LT.showPicture(pictures, index))));

    // A question with two answers; resolves to true when it was confirmed. Escape and Cancel say no.
    LT.ask = (question, action) =>
        new Promise((resolve) => {
            const yes = LT.h("button", { type: "submit", class: "lt-btn lt-btn-danger", value: "yes" }, action);
            const dialog = LT.h("dialog", { class: "lt-ask", "aria-label": action },
                LT.h("form", { method: "dialog" }, LT.h("p", {}, question),
                    LT.h("div", { class: "lt-row lt-end" }, LT.h("button", { type: "submit", class: "lt-btn", value: "" }, LT.t("cancel")), yes)));
            dialog.addEventListener("close", () => {
                resolve(dialog.returnValue === "yes");
                dialog.remove();
            });
            LT.mount.querySelector(".lt-app").append(dialog);
            dialog.showModal();
            yes.focus();
        });
})();
