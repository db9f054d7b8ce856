// What goes on in the page for a time: listening and asking again and again, each ended by the AbortSignal of its view.
(function () {
    "use strict";
    const LT = (window.loraTrainer = window.loraTrainer || {});

    // Who wants to hear of something: `watch(signal, action)` calls `action(...)` at each `tell(...)` until the signal ends it.
    // Whether anything is in the page already makes no difference: a view may speak and listen while it is being drawn.
    LT.listeners = function () {
        const actions = new Set();
        return {
            watch(signal, action) {
                if (signal.aborted) return;
                actions.add(action);
                signal.addEventListener("abort", () => actions.delete(action), { once: true });
            },
            tell(...values) {
                for (const action of [...actions]) if (actions.has(action)) action(...values);
            },
        };
    };

    // Whether somebody can see the page: not in another tab of the Web UI, nor of the browser.
    LT.isSeen = () => !document.hidden && LT.mount.isConnected && LT.mount.getClientRects().length > 0;

    // Calls `action` again and again until the signal ends it, and only while the page is seen or `alsoUnseen()` holds: every
    // open page of the Web UI would ask for ever. The function returned ends it, too.
    LT.poll = function (signal, seconds, action, alsoUnseen = () => false) {
        let stopped = false;
        (async () => {
            await LT.sleep(0);
            while (!stopped && !signal.aborted) {
                if (!LT.isSeen() && !alsoUnseen()) {
                    await LT.sleep(300);
                    continue;
                }
                let next = seconds;
                try {
                    next = (await action()) ?? seconds;
                } catch (error) {
                    if (!(error instanceof LT.Lost)) LT.report(error);
                    next = Math.max(seconds, 2);
                }
                await LT.sleep(1000 * (document.hidden ? Math.max(next, 5) : next));
            }
        })();
        return () => (stopped = true);
    };
})();
