// Pictures in rows, and one of them large in a dialog that the keyboard can walk through.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});

    // pictures: [{url, name, caption}]; opens a modal dialog at `index`.
    function show(pictures, index) {
        const image = LT.h("img", { alt: "" });
        const caption = LT.h("figcaption");
        const count = LT.h("span", { class: "lt-light-count" });
        const save = LT.h("a", { class: "lt-btn lt-btn-small" }, LT.icon("download"), LT.t("download"));
        const go = (by) => {
            index = (index + by + pictures.length) % pictures.length;
            const picture = pictures[index];
            image.src = picture.url;
            image.alt = picture.name;
            caption.textContent = picture.caption || "";
            count.textContent = pictures.length > 1 ? `${index + 1} / ${pictures.length}` : "";
            LT.set(save, "href", picture.url);
            LT.set(save, "download", picture.name);
        };
        const arrow = (name, by) => LT.h("button", { type: "button", class: `lt-light-arrow lt-light-${name}`, "aria-label": LT.t(name), onclick: () => go(by), hidden: pictures.length < 2 }, LT.icon("back"));
        const dialog = LT.h("dialog", { class: "lt-light", "aria-label": pictures[index].name },
            LT.h("div", { class: "lt-light-bar" }, count, save, LT.copyButton(() => pictures[index].caption || ""),
                LT.h("button", { type: "button", class: "lt-btn lt-btn-small", "aria-label": LT.t("close"), onclick: () => dialog.close() }, LT.icon("close"))),
            LT.h("figure", {}, image, caption), arrow("previous", -1), arrow("next", 1));
        dialog.addEventListener("keydown", (event) => {
            if (event.key === "ArrowLeft") go(-1);
            if (event.key === "ArrowRight") go(1);
        });
        dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
        dialog.addEventListener("close", () => dialog.remove());
        LT.mount.querySelector(".lt-app").append(dialog);
        go(0);
        dialog.showModal();
    }

    // A grid of pictures; `pictures` as above, with `thumb` for the small one.
    LT.gallery = (pictures) =>
        LT.h("div", { class: "lt-gallery" }, pictures.map((picture, index) =>
            LT.h("button", { type: "button", class: "lt-picture", "aria-label": picture.name, title: picture.caption || picture.name, onclick: () => show(pictures, index) },
                LT.h("img", { src: picture.thumb || picture.url, alt: picture.caption || picture.name, loading: "lazy" }))));

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
