// What this browser remembers from visit to visit.
export function remember(key, value) {
    try {
        localStorage.setItem("lora-trainer." + key, JSON.stringify(value));
    } catch { /* private window or full: the page works without memory */ }
}

export function recall(key, otherwise = null) {
    try {
        return JSON.parse(localStorage.getItem("lora-trainer." + key)) ?? otherwise;
    } catch {
        return otherwise;
    }
}
