// Which pictures are chosen. One of them, or none, is where the keyboard stands (the cursor); a range goes from the anchor to it.
export function selection(changed) {
    let order = [], at = new Map(); // the pictures as they are shown, and where each stands
    let chosen = new Set(), cursor = null, anchor = null;

    const tell = () => changed();
    const between = (one, other) => {
        const [low, high] = [at.get(one), at.get(other)].sort((a, b) => a - b);
        return order.slice(low, high + 1);
    };
    const own = {
        get cursor() { return cursor; },
        get size() { return chosen.size; },
        get ids() { return order.filter((id) => chosen.has(id)); }, // in the order in which they are shown
        has: (id) => chosen.has(id),
        indexOf: (id) => at.get(id) ?? -1,

        // Other pictures are shown: those that are no longer among them are chosen no more, and the cursor stays about where it was.
        offer(ids) {
            const before = at.get(cursor) ?? 0;
            order = ids;
            at = new Map(ids.map((id, index) => [id, index]));
            chosen = new Set([...chosen].filter((id) => at.has(id)));
            if (cursor !== null && !at.has(cursor)) cursor = order[Math.min(before, order.length - 1)] ?? null;
            if (!at.has(anchor)) anchor = cursor;
            tell();
        },
        only(id) {
            chosen = new Set(id === null ? [] : [id]);
            cursor = anchor = id;
            tell();
        },
        // These, as one left them; those that are shown no more are not among them.
        put(ids) {
            chosen = new Set(ids.filter((id) => at.has(id)));
            cursor = anchor = [...chosen].at(-1) ?? cursor;
            tell();
        },
        toggle(id) {
            if (!chosen.delete(id)) chosen.add(id);
            cursor = anchor = id;
            tell();
        },
        // The range from the anchor to `id`; what was chosen besides goes, unless it is kept.
        extend(id, isKept = false) {
            if (!at.has(anchor)) anchor = id;
            chosen = new Set([...(isKept ? chosen : []), ...between(anchor, id)]);
            cursor = id;
            tell();
        },
        // The cursor goes by so many places, choosing as `how` says: {extend} a range, {keep} nothing, else that picture alone.
        move(by, { extend = false, keep = false } = {}) {
            if (!order.length) return;
            const from = at.get(cursor) ?? (by < order.length ? -by : 0); // the first step goes to the first picture, "End" to the last
            const index = Math.min(order.length - 1, Math.max(0, from + by));
            const id = order[index];
            if (extend) own.extend(id);
            else if (keep) { cursor = id; tell(); }
            else own.only(id);
        },
        all() {
            chosen = new Set(order);
            cursor ??= order[0] ?? null;
            tell();
        },
        none() {
            chosen = new Set();
            tell();
        },
    };
    return own;
}
