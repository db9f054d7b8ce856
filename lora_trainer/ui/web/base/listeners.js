// Who wants to hear of something: `watch(signal, action)` calls `action(...)` at each `tell(...)` until the signal ends it.
// Whether anything is in the page already makes no difference: a view may speak and listen while it is being drawn.
export function listeners() {
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
}
