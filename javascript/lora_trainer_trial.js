// "Try it now": standing alone, one button that trains on a drawn data set.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});
    const h = (...values) => LT.h(...values);

    // The panel, or nothing where the host does not offer the trial; folded to one line unless `isOpen`.
    LT.trialPanel = function (isOpen) {
        if (!LT.shell.state.trial) return null;
        if (isOpen) return panel();
        const fold = h("details", { class: "lt-fold lt-trial-fold", ontoggle: () => fold.childElementCount < 2 && fold.append(panel()) }, h("summary", {}, LT.t("trial_again")));
        return fold;
    };

    function panel() {
        const button = h("button", { type: "button", class: "lt-btn lt-btn-primary", onclick: () => LT.busy(button, start) }, LT.t("trial_button"));
        return h("section", { class: "lt-card lt-trial", "aria-labelledby": "lt-trial-title" },
            h("div", { class: "lt-trial-text" }, h("h2", { id: "lt-trial-title" }, LT.t("trial_title")), h("p", {}, LT.t("trial_text")), button),
            h("figure", { class: "lt-trial-figure" }, h("img", { src: LT.url("trial/picture"), alt: LT.t("trial_picture") }), h("figcaption", {}, LT.t("trial_caption"))));

        async function start() {
            button.textContent = LT.t("starting");
            try {
                const { id } = await LT.post("trial");
                LT.remember("tried", true);
                LT.shell.go("runs", id);
            } finally {
                button.textContent = LT.t("trial_button");
            }
        }
    }
})();
