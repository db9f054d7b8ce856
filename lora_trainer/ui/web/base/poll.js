// Asking again and again, ended by the AbortSignal of a view.
import { app } from "./app.js";
import { Lost } from "./host.js";
import { report } from "./messages.js";
import { sleep } from "./timing.js";

// Whether somebody can see the page: not in another tab of the Web UI, nor of the browser.
export const isSeen = () => !document.hidden && app.mount.isConnected && app.mount.getClientRects().length > 0;

// Calls `action` again and again until the signal ends it, and only while the page is seen or `alsoUnseen()` holds: every
// open page of the Web UI would ask for ever. The function returned ends it, too.
export function poll(signal, seconds, action, alsoUnseen = () => false) {
    let stopped = false;
    (async () => {
        await sleep(0);
        while (!stopped && !signal.aborted) {
            if (!isSeen() && !alsoUnseen()) {
                await sleep(300);
                continue;
            }
            let next = seconds;
            try {
                next = (await action()) ?? seconds;
            } catch (error) {
                if (!(error instanceof Lost)) report(error);
                next = Math.max(seconds, 2);
            }
            await sleep(1000 * (document.hidden ? Math.max(next, 5) : next));
        }
    })();
    return () => (stopped = true);
}
